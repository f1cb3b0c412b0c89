"""What holds a long clip: motion frames that come back to the portrait, and colours."""

import torch
from nets import gen

from vivant.methods.diffused_heads.guard import ColourHold, MotionFrames, grey


def test_motion_frames_are_the_last_ones_and_the_portrait_comes_back():
    identity = gen("i", (1, 3, 4, 4))
    drawn = [gen(f"f{i}", (1, 3, 4, 4)) for i in range(40)]
    motion = MotionFrames(identity, 2, False, anchor_every=15)
    for number, frame in enumerate(drawn):
        shown = motion.before(number)
        oldest = identity if number < 2 or number % 15 == 0 else drawn[number - 2]
        newest = identity if number == 0 else drawn[number - 1]
        assert torch.equal(shown, torch.cat([oldest, newest], 1)), number
        motion.add(frame)
    assert MotionFrames(identity, 0, False).before(0).shape == (1, 0, 4, 4)
    assert torch.equal(MotionFrames(identity, 1, True).before(0), grey(identity))


def test_a_leash_draws_motion_frames_to_the_portrait():
    identity, drawn = gen("i", (1, 3, 4, 4)), gen("f", (1, 3, 4, 4))
    seen = {}
    for leash in (0.0, 0.25, 1.0):
        motion = MotionFrames(identity, 2, False, leash=leash)
        motion.add(drawn)
        motion.add(drawn)
        seen[leash] = motion.before(2)
    both = torch.cat([identity, identity], 1)
    assert torch.equal(seen[0.0], torch.cat([drawn, drawn], 1)) and torch.allclose(seen[1.0], both)
    assert torch.allclose(seen[0.25], 0.75 * seen[0.0] + 0.25 * both)


def test_colours_are_held():
    identity = 0.3 * gen("i", (1, 3, 16, 16))
    free, held = ColourHold(identity, 0.0), ColourHold(identity, 1.0)
    drifted = identity * 0.7 + 0.2
    for _ in range(100):
        last, loose = held(drifted), free(drifted)
    assert torch.allclose(loose, drifted)
    assert float((last.mean((2, 3)) - identity.mean((2, 3))).abs().max()) < 0.02
    assert float((last.std((2, 3)) / identity.std((2, 3)) - 1).abs().max()) < 0.05
