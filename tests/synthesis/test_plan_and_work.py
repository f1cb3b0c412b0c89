"""Who gets which take, in which split; and many processes that lose nothing."""

import os
from collections import Counter
from functools import partial
from importlib import import_module

import numpy as np
import pytest

from vivant.core.errors import ConfigError, FaceError, MediaError
from vivant.data.synthesis.people import Person, find_stills, read_index, split_of
from vivant.data.synthesis.plan import make_plan
from vivant.data.synthesis.survey import read_people, reason_kind, report, write_rejected
from vivant.data.synthesis.work import run_jobs
from vivant.rig.limits import common_reach, within_reach
from vivant.rig.motion import RigMotion

SHARES = {"test": 0.1, "val": 0.1}


def crowd(count: int = 60, **measures) -> list[Person]:
    return [Person(f"p{n:03d}", f"p{n:03d}.jpg", "MIT", "somebody", measures=dict(measures)) for n in range(count)]


def splits(people):
    return {p.id: split_of(p, SHARES, {}) for p in people}


def test_splits_follow_the_person_and_never_change():
    people = crowd(2000)
    counts = Counter(splits(people).values())
    assert 150 < counts["test"] < 250 and 150 < counts["val"] < 250
    assert split_of(people[0], {}, {}) == "train" and split_of(people[0], SHARES, {"p000": "test"}) == "test"
    assert split_of(Person("x", "x.jpg", split="val"), SHARES, {}) == "val"


def test_a_take_is_shared_by_different_people_of_one_split():
    people = crowd()
    jobs = make_plan(people, splits(people), "random", 120, 3, 0)
    assert len(jobs) == 120 and len({job.id for job in jobs}) == 120
    for take in range(40):
        mine = [job for job in jobs if job.take == take]
        assert len({job.person.id for job in mine}) == 3 and len({job.split for job in mine}) == 1
        assert all(splits(people)[job.person.id] == job.split for job in mine)
    used = Counter(job.person.id for job in jobs if job.split == "train")
    assert max(used.values()) - min(used.values()) <= 1 and len(used) == Counter(splits(people).values())["train"]


def test_a_longer_plan_begins_with_the_shorter_and_a_seed_changes_it():
    people = crowd()
    short, long = (make_plan(people, splits(people), "random", n, 2, 7) for n in (30, 50))
    assert [job.id for job in long[:30]] == [job.id for job in short]
    assert [job.id for job in make_plan(people, splits(people), "random", 30, 2, 8)] != [job.id for job in short]


def test_talking_takes_prefer_shut_lips():
    people = crowd(10, gap=0.5) + [Person(f"q{n}", f"q{n}.jpg", measures={"gap": 0.05}) for n in range(10)]
    everyone = dict.fromkeys((p.id for p in people), "train")
    jobs = make_plan(people, everyone, "speech", 10, 1, 0, shut_lips=True)
    assert all(job.person.id.startswith("q") for job in jobs)
    assert (
        len(make_plan(crowd(5, gap=0.5), everyone | {f"p{n:03d}": "train" for n in range(5)}, "s", 5, 1, 0, True)) == 5
    )


def test_too_few_people_for_a_take():
    people = crowd(2)
    with pytest.raises(ConfigError, match="takes-per-motion"):
        make_plan(people, dict.fromkeys(("p000", "p001"), "train"), "random", 4, 3, 0)


def test_motion_is_bent_so_that_all_of_the_cast_can_follow():
    pose = np.zeros((50, 6), np.float32)
    pose[:, 0], pose[:, 1] = np.linspace(-28, 28, 50), np.linspace(-15, 15, 50)
    motion = RigMotion(25, pose, np.zeros((50, 55)), np.zeros((50, 2)))
    left, cut = {"yaw_lowest": -28.0, "yaw_highest": 15.0}, {"yaw_lowest": -20.0, "pitch_highest": 9.0}
    cast = (Person("a", "a", measures=left), Person("b", "b", measures=cut))
    bent = within_reach(motion, common_reach([person.reach for person in cast])).pose
    assert bent[:, 0].max() <= 15 and bent[:, 0].min() >= -20 and bent[:, 1].max() <= 9 and bent[0, 1] < -12
    assert np.all(np.diff(bent[:, 0]) > 0) and np.allclose(bent[20:30], pose[20:30], atol=1e-5)


def work_on(job: int, where: str) -> int:
    if job == 3:
        raise FaceError("no face there.")
    if job == 5:
        raise ZeroDivisionError("oops")
    if job == 7 and os.getpid() != int(where):
        os._exit(9)
    return job * job


def make_worker(where: str):
    return partial(work_on, where=where)


def test_jobs_fail_alone_in_one_process():
    outcomes = list(run_jobs(make_worker, (str(os.getpid()),), range(8), 1))
    assert [o.result for o in outcomes] == [0, 1, 4, None, 16, None, 36, 49]
    assert outcomes[3].problem == "no face there" and outcomes[5].problem == "ZeroDivisionError: oops"


def test_a_process_that_dies_takes_only_its_job_with_it():
    outcomes = list(run_jobs(make_worker, (str(os.getpid()),), range(9), 2))
    assert sorted(o.job for o in outcomes) == list(range(9))
    good = {o.job: o.result for o in outcomes if not o.problem}
    assert good == {n: n * n for n in (0, 1, 2, 4, 6, 8)}
    assert "died" in next(o.problem for o in outcomes if o.job == 7)


class LoadsTorch:
    """Loads torch while a process unpacks it, as the arguments of rendering do."""

    def __reduce__(self):
        return import_module, ("torch",)


def count_threads(torch, _job: int) -> tuple[int, ...]:
    return torch.get_num_threads(), *(int(os.environ[name]) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"))


def make_counter(torch):
    return partial(count_threads, torch)


def test_many_processes_use_one_thread_each_and_leave_the_environment_as_it_was(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    assert [o.result for o in run_jobs(make_counter, (LoadsTorch(),), range(2), 2)] == [(1, 1, 1)] * 2
    assert os.environ["OMP_NUM_THREADS"] == "3" and "OPENBLAS_NUM_THREADS" not in os.environ


def test_stills_are_found_with_their_licences(tmp_path):
    (tmp_path / "more").mkdir()
    for name in ("b.jpg", "a.png", "more/c.webp", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "index.jsonl").write_text('{"file": "more/c.webp", "licence": "MIT", "source": "here"}\n')
    stills = find_stills(tmp_path, "CC0-1.0", "me")
    assert [(s.id, s.licence, s.credit) for s in stills] == [
        ("a", "CC0-1.0", "me"), ("b", "CC0-1.0", "me"), ("more_c", "MIT", "here")
    ]  # fmt: skip
    (tmp_path / "a.jpg").write_bytes(b"x")
    with pytest.raises(ConfigError, match="two stills of the name 'a'"):
        find_stills(tmp_path)
    with pytest.raises(MediaError):
        find_stills(tmp_path / "nowhere")
    (tmp_path / "index.jsonl").write_text("[]\n")
    with pytest.raises(ConfigError, match="line 1"):
        read_index(tmp_path)


def test_numbers_of_a_survey():
    good = {"all": 0.1, "eyes": 0.1, "mouth": 0.1, "lids": 0.3}
    people = [
        Person("a", "a", measures={"residual": 0.1, "gap": 0.0}, poses={"rest": good}),
        Person("b", "b", measures={"residual": 0.2, "gap": 0.5}, reasons=("the head fits badly (0.20 cm)",)),
        Person("c", "c", reasons=("no face is found",)),
    ]
    numbers = report(people)
    assert numbers["good"] == 1 and numbers["share_rejected"] == pytest.approx(0.6667)
    assert numbers["rejected_by_reason"] == {"the head fits badly": 1, "no face is found": 1}
    assert numbers["redetected_cm_median"] == {"rest": good} and numbers["residual_cm_25_50_75_90_95"][1] == 0.15
    for name in ("a.jpg", "b: 2 (1).png"):
        assert reason_kind(f"'some where/{name}' is empty: copy or download the file again") == "the file is empty"
    assert reason_kind("the face lies 0.51 cm off in the pose 'jaw'") == "the face lies # cm off in the pose 'jaw'"


def test_a_cut_off_last_line_is_looked_at_again(tmp_path):
    path = tmp_path / "people.jsonl"
    path.write_text('{"id": "a", "file": "a.jpg", "reasons": []}\n{"id": "b", "fi')
    assert [p.id for p in read_people(tmp_path)] == ["a"]
    assert path.read_text() == '{"id": "a", "file": "a.jpg", "reasons": []}\n'
    path.write_text('{"id": "a"}\n{"id": "b", "file": "b", "reasons": []}\n')
    with pytest.raises(ConfigError, match="line 1"):
        read_people(tmp_path)


def test_rejects_of_several_runs_are_kept_once(tmp_path):
    write_rejected(
        tmp_path, [{"what": "still", "id": "a", "reason": "old"}, {"what": "clip", "id": "x", "reason": "y"}]
    )
    write_rejected(tmp_path, [{"what": "still", "id": "a", "reason": "new"}])
    lines = (tmp_path / "rejected.jsonl").read_text().splitlines()
    assert len(lines) == 2 and "new" in lines[0]
