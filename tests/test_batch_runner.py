"""How a batch spreads its work: as many sources ask as ``--parallel`` says, and one that is being placed holds up no other."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from scraper.batch import plan
from scraper.batch.input import rows as inputs
from scraper.batch.ledger import Ledger
from scraper.batch.runner import Runner
from scraper.batch.workers.local import LocalWorker
from scraper.batch.workers.protocol import Job, Outcome, done
from scraper.core.settings import BrowserUse, ConnectTo, Settings
from tests.many import Many, up


class Audience:
    """Knows what is in hand."""

    def __init__(self) -> None:
        self.in_hand = self.most = 0
        self.ends: list[int] = []

    def started(self, item: plan.Item) -> None:
        self.in_hand += 1
        self.most = max(self.most, self.in_hand)

    def ended(self, item: plan.Item, outcome: Outcome, *, now: bool) -> None:
        self.in_hand -= 1
        self.ends.append(outcome.exit_code)


class Slow:
    """A worker whose jobs all have asked, and place nothing until every one that may begin has begun."""

    def __init__(self, together: int) -> None:
        self._together = together
        self._placing = asyncio.Semaphore(0)
        self.asking = self.most_asking = self.begun = 0

    async def __aenter__(self) -> Slow:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def retrieve(self, job: Job) -> None:
        self.begun += 1
        self.asking += 1
        self.most_asking = max(self.most_asking, self.asking)
        await asyncio.sleep(0)
        self.asking -= 1

    async def place(self, retrieved: None) -> Outcome:
        if self.begun >= self._together:
            self._placing.release()
        await self._placing.acquire()
        self._placing.release()
        return Outcome({"status": "complete", "exit_code": 0})


def planned(folder: Path, links: list[str], ledger: Ledger, settings: Settings) -> plan.Plan:
    path = folder / "links.txt"
    path.write_text("\n".join(links), encoding="utf-8")
    return plan.build(inputs.read(path).rows, ledger, settings, plan.Selection())


@pytest.mark.parametrize(("parallel", "in_hand"), [(1, 1), (2, 3), (4, 7)])
def test_the_next_source_begins_while_another_is_placed(tmp_path, parallel, in_hand):
    links = [f"https://film.example.test/s/A{number:07}" for number in range(12)]
    audience, settings = Audience(), Settings(output=tmp_path)

    async def run(ledger: Ledger) -> Slow:
        worker = Slow(in_hand)
        todo = planned(tmp_path, links, ledger, settings)
        async with asyncio.timeout(60):
            await Runner(ledger, worker, audience, parallel).run(todo)
        return worker

    with Ledger(tmp_path) as ledger:
        worker = asyncio.run(run(ledger))
    assert audience.ends == [0] * len(links)
    assert audience.most == in_hand
    assert worker.most_asking <= parallel


def test_a_slot_is_given_back_when_the_site_is_asked_no_more(tmp_path, plugged_in):
    many, seen = Many(3), list[tuple[int, bool]]()

    async def run(settings: Settings, ledger: Ledger) -> list[Outcome]:
        worker = LocalWorker(settings, 1)
        items = planned(tmp_path, [many.link(number) for number in range(3)], ledger, settings).todo

        async with worker:
            retrieved = await worker.retrieve(items[0].job)
            seen.append((sum(many.images.values()), bool(list(settings.output.glob("*/study.json")))))
            first = await worker.place(retrieved)
            rest = await asyncio.gather(*(done(worker, item.job) for item in items[1:]))
        return [first, *rest]

    with up(many), Ledger(tmp_path / "ledger") as ledger:
        rows = tuple(ConnectTo.parse(word) for word in many.options if word.endswith(f":{many.port}"))
        settings = Settings(output=tmp_path / "out", browser=BrowserUse.NEVER, connect_to=rows)
        outcomes = asyncio.run(run(settings, ledger))
    assert [outcome.exit_code for outcome in outcomes] == [0, 0, 0]
    assert seen == [(5, False)], "all five images had come, and the study was not placed yet"
