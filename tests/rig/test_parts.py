"""Lids, light, torso, teeth, glasses, limits, and the way back from frames to motion."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from vivant.core.errors import FaceError
from vivant.perception.faces import FaceFinder
from vivant.rig.build import RigRejected
from vivant.rig.camera import Placement, turn, turn_angles
from vivant.rig.check import check_rig, inspect_still, lid_opening, require_good, summary
from vivant.rig.glasses import find_glasses
from vivant.rig.limits import reach_of, within_reach
from vivant.rig.motion import EXPRESSION_NAMES, RigMotion, expression_rows, expression_vector
from vivant.rig.render import Region
from vivant.rig.teeth import _split
from vivant.rig.torso import torso_motion
from vivant.rig.track import LiveTracker, track_face

SIZE = 256


def frames_of(rig, units, pose=None):
    motion = RigMotion(
        25, np.zeros((len(units), 6)) if pose is None else pose, np.stack(units), np.zeros((len(units), 2))
    )
    return list(rig.render(motion, SIZE, device="cpu"))


@pytest.fixture(scope="module")
def detect():
    finder = FaceFinder(threads=1)

    def find(image):
        found = finder.find(image, thorough=False)
        return found[0].landmarks if found else None

    return find


def test_a_full_blink_is_shut_for_labels_and_detector(rig, detect):
    opened, shut = frames_of(rig, [expression_vector({}), expression_vector({"eyeBlink": 1.0})])
    assert lid_opening(opened.landmarks) > 0.25 > 0.12 > lid_opening(shut.landmarks)
    assert np.abs(shut.landmarks[[159, 386], 1] - shut.landmarks[[145, 374], 1]).max() < 0.5  # pixels
    assert lid_opening(detect(shut.image)) < 0.12 < lid_opening(detect(opened.image))
    assert (shut.regions == Region.EYES).sum() < 0.15 * (opened.regions == Region.EYES).sum()


def test_angles_are_told_and_found_again():
    assert np.allclose(turn_angles(turn(20, -10, 5)), (20, -10, 5))
    first = Placement(turn(3, 8, -2), np.array([0.5, 1.0]), 7.0)
    pose = np.array([12, -6, 4, 0.7, -0.3, 0.05])
    assert np.allclose(first.moved(pose).since(first), pose, atol=1e-9)


def test_light_stays_while_the_head_turns(rig):
    left, right = (frames_of(rig, [expression_vector({})], np.array([[yaw, 0, 0, 0, 0, 0]]))[0] for yaw in (18, -18))
    still = replace(rig, light=replace(rig.light, coefficients=np.array([1, *np.zeros(8)], np.float32)))
    flat = frames_of(still, [expression_vector({})], np.array([[18, 0, 0, 0, 0, 0]]))[0]
    skin = (left.regions == Region.SKIN) & (flat.regions == Region.SKIN)
    ratio = left.image[skin].astype(float).mean() / flat.image[skin].astype(float).mean()
    assert (left.image[skin] != flat.image[skin]).any() and 0.8 < ratio < 1.25
    assert np.isfinite([left.depth[skin].min(), right.depth[right.regions == Region.SKIN].max()]).all()


def test_shoulders_follow_late_and_the_first_frame_is_unmoved():
    pose = np.zeros((50, 6))
    pose[1:, 0] = 20
    torso = torso_motion(RigMotion(25, pose, np.zeros((50, len(EXPRESSION_NAMES))), np.zeros((50, 2))))
    assert (torso[0] == 0).all() and 0 < torso[3, 0] < torso[40, 0] < 3
    assert not torso_motion(RigMotion.still(30), 0.0).any()


def test_motion_is_bent_back_only_where_the_photo_ends(rig):
    reach = reach_of(rig)
    wish = np.zeros((3, 6))
    wish[:, 0] = (5, 90, -90)
    bent = within_reach(RigMotion(25, wish, np.zeros((3, len(EXPRESSION_NAMES))), np.zeros((3, 2))), rig).pose[:, 0]
    assert bent[0] == 5 and reach.lowest[0] <= bent[2] < -10 and 10 < bent[1] <= reach.highest[0]


def test_upper_and_lower_teeth_are_told_apart():
    inside, teeth = np.ones((30, 20), bool), np.zeros((30, 20), bool)
    teeth[3:12], teeth[22:27] = True, True
    upper, lower = _split(teeth, inside)
    assert upper[:12].all() and not upper[13:].any() and lower[22:27].all() and not lower[:13].any()


def test_drawn_glasses_are_found(still):
    import cv2

    image, landmarks, _ = still
    plain = image.astype(np.float32)
    assert not find_glasses(plain, landmarks).worn
    worn = image.copy()
    for a, b in ((33, 133), (362, 263)):
        centre, radius = landmarks[[a, b], :2].mean(0), np.linalg.norm(landmarks[a, :2] - landmarks[b, :2]) * 0.85
        cv2.circle(worn, tuple(int(v) for v in centre), int(radius), (15, 15, 15), 3, cv2.LINE_AA)
    ends = [tuple(int(v) for v in landmarks[p, :2]) for p in (133, 362)]
    cv2.line(worn, *ends, (15, 15, 15), 3, cv2.LINE_AA)
    assert find_glasses(worn.astype(np.float32), landmarks).worn


def test_a_track_gives_back_the_motion_that_was_drawn(rig):
    jaw = 0.15 - 0.15 * np.cos(np.arange(16) / 16 * 4 * np.pi)
    pose = np.zeros((16, 6))
    pose[:, 0], pose[:, 3] = np.linspace(0, 12, 16), np.linspace(0, 0.8, 16)
    frames = frames_of(rig, [expression_vector({"jawOpen": j}) for j in jaw], pose)
    track = track_face([None, *(frame.landmarks for frame in frames)], (SIZE, SIZE))
    assert track.missing == (0,) and np.isnan(track.residual[0]) and np.nanmean(track.residual) < 0.2
    motion = track.motion(Fraction(25))[1:]
    found = motion.expression[:, expression_rows("jawOpen")[0]]
    assert np.corrcoef(found, jaw)[0, 1] > 0.97
    assert abs(motion.pose[-1, 0] - 12) < 2.5 and abs(motion.pose[-1, 3] - 0.8) < 0.4


def test_live_tracking_starts_at_rest_and_holds_through_gaps(rig):
    frames = frames_of(rig, [expression_vector({}), expression_vector({"jawOpen": 0.3})])
    follow = LiveTracker()
    assert follow(None, (SIZE, SIZE)) is None
    first = follow(frames[0].landmarks, (SIZE, SIZE))
    assert np.abs(first.pose[:, :3]).max() < 0.5
    second = follow(frames[1].landmarks, (SIZE, SIZE))
    jaw = expression_rows("jawOpen")[0]
    assert second.expression[0, jaw] > 0.1
    assert follow(None, (SIZE, SIZE)) is second
    fitted = track_face([frame.landmarks for frame in frames], (SIZE, SIZE)).motion(25, smooth=False).expression
    opened = second.expression - first.expression  # live mouths open as far as those of a whole clip
    assert opened[0, jaw] == pytest.approx(fitted[1, jaw] - fitted[0, jaw], rel=0.05)
    with pytest.raises(FaceError, match="no face"):
        track_face([None, None], (SIZE, SIZE))


def test_the_check_finds_the_face_again_and_names_what_is_wrong(rig, detect):
    report = check_rig(rig, detect, device="cpu")
    assert report.poses["rest"].all < 0.1 and report.poses["blink"].lids < 0.12
    assert max(result.all for result in report.poses.values()) < 0.3 and report.reasons == ()
    blind = check_rig(rig, lambda image: None, device="cpu")
    assert any("no face is found" in reason for reason in blind.reasons)
    told = summary([report, blind])
    assert told["stills"] == 2 and told["refused"] == 1
    turned = replace(rig, shape=replace(rig.shape, placement=rig.shape.placement.moved(np.array([40, 0, 0, 0, 0, 0]))))
    with pytest.raises(RigRejected, match=r"a\.jpg.*turned by"):
        require_good(inspect_still(turned), "a.jpg")
