"""Waiting times of a run, in seconds; tests set shorter ones."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class DriveTimings:
    """How long an unknown viewer is waited for while it is driven, in seconds.

    Attributes:
        first_s: a viewer that has asked for nothing by then waits for a person.
        quiet_s: without a request, after which a page has loaded.
        patience_s: a page that shows nothing to press may be silent this long.
        recall_s: for a site to fetch a study from its archive.
        look_s: between two looks at what can be pressed.
        person_s: for a person at the visible window.
        stream_quiet_s: without an event, after which a stream that has not ended is taken to have said all.
        list_quiet_s: the same for a list's next part, where images are listed by a stream, a socket, or an answer that is asked
            for again and again; and for any answer that the page still waits for.
        opened_quiet_s: without a request, after which a series that was opened has come.
        opened_s: the longest that is waited for a series that was opened.
        step_s: for one step through a stack to show something new.
        glance_s: the same for a step that showed another image: the viewer had it already.
        all_s: for all of one viewer.
        job_look_s: between two looks at a page that packs a study: a sentence may be shown for two seconds only.
        job_quiet_s: without a request, after which nothing is being packed: jobs are asked after every few seconds.
        job_settled_s: after a package came: more may follow, one for each series.
        job_s: for a site to pack a study.
        answer_s: for a message over a WebSocket to be answered.
        staging_pauses_s: while a site stages what it was asked to prepare.
    """

    first_s: float = 40.0
    quiet_s: float = 2.0
    patience_s: float = 10.0
    recall_s: float = 120.0
    look_s: float = 0.5
    person_s: float = 600.0
    stream_quiet_s: float = 5.0
    list_quiet_s: float = 20.0
    opened_quiet_s: float = 0.8
    opened_s: float = 20.0
    step_s: float = 0.5
    glance_s: float = 0.12
    all_s: float = 1200.0
    job_look_s: float = 0.8
    job_quiet_s: float = 8.0
    job_settled_s: float = 2.0
    job_s: float = 1800.0
    answer_s: float = 15.0
    staging_pauses_s: tuple[float, ...] = (0.2, 0.5, 1.0, 2.0, 4.0)


@dataclass(frozen=True, slots=True)
class Timings:
    """Pauses and limits of one run, in seconds.

    Attributes:
        first_pause_s: before a file is asked for a second time; then twice that, and so on.
        longest_pause_s: the longest of these pauses.
        asked_pause_s: a pause that a host asks for is kept up to this: a person can come back after a longer one.
        busy_pauses_s: before a list is asked for a second and a third time, where a busy host does not say how long.
        endless_s: a body of unknown length that has not ended by then may never end.
        site_scale: a provider's own waits (``Session.poll``, ``Session.site_s``) are multiplied by it.
        drive: of a viewer that nobody described.
    """

    first_pause_s: float = 0.6
    longest_pause_s: float = 16.0
    asked_pause_s: float = 300.0
    busy_pauses_s: tuple[float, ...] = (1.0, 3.0)
    endless_s: float = 60.0
    site_scale: float = 1.0
    drive: DriveTimings = field(default_factory=DriveTimings)
