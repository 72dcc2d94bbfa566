"""How a send ended, as the program and scripts see it."""

from __future__ import annotations

from dataclasses import dataclass

from scraper.core.errors import CloudfilmError, ExitCode
from scraper.core.messages import describe, describe_problem
from scraper.core.model import Problem
from scraper.core.settings import Language


@dataclass(frozen=True, slots=True)
class Sent:
    """What an archive has of the instances that there are.

    Attributes:
        target: the archive, as it may be shown.
        total: instances in the folders.
        sent: taken in this run.
        before: taken in an earlier run, and not sent again.
        converted: of those sent, in another Transfer Syntax.
        changed: of those sent, with other values (``--set``).
        committed: confirmed by Storage Commitment; None: the archive does not offer it.
        seconds: it took.
        bytes: of the files sent.
        problems: what was refused or left out, and what to mind.
        error: what ended it early.
    """

    target: str
    total: int = 0
    sent: int = 0
    before: int = 0
    converted: int = 0
    changed: int = 0
    committed: int | None = None
    seconds: float = 0.0
    bytes: int = 0
    problems: tuple[Problem, ...] = ()
    error: CloudfilmError | None = None

    @property
    def exit_code(self) -> ExitCode:
        """0 where the archive has everything; 7 where it lacks something; the error's own where one ended it."""
        if self.error is not None:
            return self.error.exit_code
        is_short = self.sent + self.before < self.total or any(problem.fatal for problem in self.problems)
        return ExitCode.INCOMPLETE if is_short or not self.total else ExitCode.COMPLETE

    def to_dict(self, language: Language = Language.EN) -> dict[str, object]:
        """The document of ``send --json``."""
        status = "complete" if self.exit_code == ExitCode.COMPLETE else "incomplete"
        problems = [
            {
                "code": problem.code,
                "message": describe_problem(problem, language, of_folder=True),
                "instances": list(problem.instances),
            }
            for problem in self.problems
        ]
        if self.error is not None:
            problems.append({"code": self.error.code, "message": describe(self.error, language), "instances": []})
        return {
            "target": self.target,
            "status": status if self.sent + self.before or not self.total else "failed",
            "exit_code": int(self.exit_code),
            "instances": {
                "total": self.total,
                "sent": self.sent,
                "before": self.before,
                "converted": self.converted,
                "changed": self.changed,
                "committed": self.committed,
            },
            "bytes": self.bytes,
            "seconds": self.seconds,
            "problems": problems,
        }
