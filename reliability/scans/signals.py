"""Signals at random moments: SIGKILL, which nobody can handle, and those that ask a program to end."""

import signal
import time

import numpy as np

from reliability.scans.trials import Setting, Tally, Trial, moment

INTERRUPTED = 130


def killed(setting: Setting, rng: np.random.Generator, count: int) -> Tally:
    """SIGKILL again and again, each time a scan goes on, until it has ended; then anew."""
    tally = Tally("SIGKILL", setting.output)
    trial: Trial | None = None
    while tally.tried < count:
        trial = trial or setting.trial()
        running = trial.scan()
        at = moment(setting, rng)
        time.sleep(at)
        if not running.ended:
            running.send(signal.SIGKILL)
            tally.tried += 1
        tally.note(running.wait(), 0, -signal.SIGKILL)
        when = f"killed after {at:.3f} s"
        trial.judge(tally, when)
        if trial.whole() or tally.tried == count:
            trial.finish(tally, when)
            trial = None
    return tally


def asked_to_end(setting: Setting, rng: np.random.Generator, count: int) -> list[Tally]:
    """SIGINT, SIGTERM, SIGHUP: exit code 130 and one line; sometimes twice, as impatient people do."""
    found = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        tally = Tally(number.name, setting.output)
        while tally.tried < count:
            trial, at = setting.trial(), moment(setting, rng)
            running = trial.scan()
            running.until(trial.staging.exists)  # its handlers are there
            time.sleep(at * 0.9)
            if not running.ended:
                running.send(number)
                tally.tried += 1
                if tally.tried % 3 == 0:
                    time.sleep(float(rng.uniform(0, 0.05)))
                    running.send(number)
            tally.note(running.wait(), 0, INTERRUPTED)
            when = f"{number.name} after {at:.3f} s"
            trial.judge(tally, when)
            trial.finish(tally, when)
        found.append(tally)
    return found


def new_interpreters(setting: Setting, rng: np.random.Generator, count: int) -> Tally:
    """SIGTERM, SIGINT and SIGKILL to programs that are started anew, also while they import."""
    tally = Tally("signals to a new interpreter", setting.output)
    began = time.perf_counter()
    trial = setting.trial()
    tally.note(trial.scan(anew=True).wait(), 0)
    seconds = time.perf_counter() - began
    expected = trial.results()  # of larger pieces than those here: sums in another order
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
    while tally.tried < count:
        number, at = numbers[tally.tried % 3], float(rng.uniform(0, seconds))
        trial = setting.trial()
        running = trial.scan(anew=True)
        time.sleep(at)
        running.send(number)
        tally.tried += 1
        # a signal may come before the handlers are there: Python itself takes a moment to start
        tally.note(running.wait(), 0, INTERRUPTED, -number)
        when = f"{number.name} after {at:.2f} s"
        trial.judge(tally, when, expected)
        trial.finish(tally, when, expected=expected, anew=True)
    return tally
