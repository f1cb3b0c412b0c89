"""Bad input of the commands beside ``animate``, told before any work is done for it."""

import pytest

from vivant.media.image import write_image


@pytest.fixture
def place(tmp_path, portrait, monkeypatch):
    """A folder with a still, a text that is called a video, and an empty folder; commands run in it."""
    (tmp_path / "stills").mkdir()
    (tmp_path / "empty").mkdir()
    write_image(tmp_path / "stills" / "a.png", portrait[::4, ::4])
    (tmp_path / "text.mp4").write_text("no pictures")
    (tmp_path / "recipe.yaml").write_text("method: live-portrait\npreset: tiny\ndata: empty\nstages: [base]\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "words, said",
    [
        ("synthesize nowhere -o set", "not a folder of stills"),
        ("synthesize empty -o set", "empty"),
        ("synthesize stills -o set --seed -1", "The seed -1"),
        ("synthesize stills -o set --device abacus", "no device 'abacus'"),
        ("synthesize stills -o set --size 30", "divisible by 4"),
        ("synthesize stills -o set --backgrounds nan", "0..1"),
        ("synthesize stills -o set --motion speech --languages xx", "no sentences in xx: use en"),
        ("synthesize stills -o text.mp4", "is a file, not a folder"),
        ("synthesize people -o set --motion speech", "is for stills"),
        ("poses stills/a.png -o p.png --smooth nan", "--smooth counts frames"),
        ("poses stills/a.png -o p.png --quality 99", "0 (best, largest) to 51"),
        ("poses stills/a.png -o p.png --person somebody", "not 'somebody'"),
        ("poses stills/a.png -o p.png --fit nowhere.png", "does not exist"),
        ("benchmark memory --seconds nan 3", "more than 0"),
        ("benchmark memory --seconds 3 -5", "more than 0"),
        ("benchmark speed --threads 0", "--threads must be 1 or more"),
        ("benchmark speed --out text.mp4", "is a file, not a folder"),
        ("curate plan stills --work w --shortest nan", "--shortest"),
        ("curate plan stills --work w --cut inf", "--cut"),
        ("curate run stills --work w --out text.mp4/x", "is a file, not a folder"),
        ("evaluate folders --generated stills --reference stills --out text.mp4", "is a file, not a folder"),
        ("train --recipe recipe.yaml --out text.mp4", "is a file, not a folder"),
        ("train --recipe recipe.yaml --workers -3", "must be more than 0"),
        ("finetune text.mp4 --device abacus", "no device 'abacus'"),
        ("finetune text.mp4 --workers 0", "must be more than 0"),
        ("finetune text.mp4 -o text.mp4", "is a file, not a folder"),
        (
            "animate -s stills/a.png --slider.yaw 3 --save-motion m.safetensors -o e.png --preset tiny --quiet",
            "no driver's motion",
        ),
        ("train --recipe recipe.yaml --max-seconds nan", "must be more than 0"),
        ("train --recipe recipe.yaml --stage nobody", "no stage 'nobody'"),
        ("finetune text.mp4 --max-seconds nan", "must be more than 0"),
        ("finetune text.mp4 --steps 0", "must be more than 0"),
        ("finetune text.mp4 --init nowhere.safetensors", "nowhere.safetensors"),
        ("download live-portrait --preset paper", "live-portrait:paper"),
        ("serve --port 70000", "1 to 65535"),
        ("shards list text.mp4", "manifest.jsonl"),
        ("evaluate sync text.mp4", "cannot be read"),
        ("evaluate protocol nobody --data empty", "no protocol 'nobody'"),
        ("methods --update nowhere.md", "no file 'nowhere.md'"),
        ("convert nowhere -o x.safetensors", "no weights file nowhere"),
        ("export -o stills --preset tiny", "not empty"),
        ("edit -s stills/a.png -o e.png --strength.motion inf", "The strength 'motion' is inf"),
        ("edit -s stills/a.png -o e.png --batch-size 0", "The option 'batch_size' is 0"),
        ("edit -s stills/a.png -o e.png --seed 1.5", "needs a whole number"),
        ("stream -s stills/a.png --text hello --seed -1 -o frames/", "The seed -1 cannot be used"),
        (
            "stream -s stills/a.png -a text.mp4 -o frames/ --method diffused-heads --preset tiny --keep-noise -0.5",
            "The option 'keep_noise' is -0.5: give a number from 0 to 1",
        ),
        (
            "animate -s stills/a.png -d text.mp4 -o b.mp4 --method megactor-sigma --preset tiny --strength.audio 1.5",
            "The strength 'audio' acts on speech, and there is none: add it with -a",
        ),
        (
            "animate -s stills/a.png -a text.mp4 -o a.mp4 --method megactor-sigma --preset tiny --strength.visual 0",
            "The strength 'visual' acts on the driver, and there is none: add it with -d",
        ),
        (
            "edit -s stills/a.png -o e.png --slider.yaw 3 --strength.motion 0.5",
            "The strength 'motion' (option 'multiplier') acts on the driver, and there is none: add it with -d of",
        ),
        ("animate -s stills/a.png -o e.png --slider.yaw 3 --multiplier 0.5", "leave 'motion' out."),
        (
            "edit -s stills/a.png -o e.png --slider.yaw 3 --method photo-rig --strength-speech 0",
            "The strength 'speech' acts on speech, and there is none: add it with -a",
        ),
        (
            "animate -s stills/a.png -a text.mp4 -o a.mp4 --method photo-rig --preset tiny --strength.pose 0.5",
            "The strength 'pose' acts on the driver",
        ),
        (
            "animate -s stills/a.png -a text.mp4 -o a.mp4 --method photo-rig --preset tiny --strength.expression 0.5",
            "The strength 'expression' acts on the driver",
        ),
        (
            "animate -s stills/a.png -d text.mp4 -o b.mp4 --method photo-rig --preset tiny --strength-speech 0.5",
            "The strength 'speech' acts on speech",
        ),
        (
            "stream -s stills/a.png -d text.mp4 -o frames/ --method photo-rig --preset tiny --strength-speech 0.5",
            "The strength 'speech' acts on speech",
        ),
        (
            "animate -s stills/a.png -a text.mp4 -o a.mp4 --method photo-rig --preset tiny --no-relative",
            "The option 'relative' acts on the driver, and there is none: add it with -d of vivant animate, or leave "
            "'relative' out.",
        ),
        (
            "edit -s stills/a.png -o e.png --slider.yaw 3 --driving-option pose-friendly",
            "The option 'driving_option' acts on the driver",
        ),
        (
            "animate -s stills/a.png -a text.mp4 -o a.mp4 --method v-express --preset tiny --retarget offset",
            "The option 'retarget' acts on V-Kps, and there are none: add them with -k of vivant animate",
        ),
        (
            "animate -s stills/a.png -a text.mp4 -o a.mp4 --method v-express --preset tiny --retarget-gain 2",
            "The option 'retarget_gain' acts on V-Kps",
        ),
        (
            "animate -s nowhere.png -a text.mp4 -o a.mp4 --method v-express --preset tiny --preview-decoder hub",
            "--preview-decoder knows Stable Diffusion's latents only",
        ),
        (
            "animate -s nowhere.png -d text.mp4 -o a.mp4 --method megactor-sigma --preset tiny --window 4 --overlap 4",
            "smaller than the window",
        ),
    ],
)
def test_every_command_refuses_in_one_sentence(refused, place, words, said):
    if words.startswith("serve"):
        pytest.importorskip("uvicorn", reason="the extra 'serve' is not installed")
    assert said in refused(*words.split())


def test_a_plan_of_nothing_but_broken_videos_is_refused(place, capsys):
    from vivant.apps.cli import main

    assert main(["curate", "plan", "text.mp4", "--work", "work"]) == 2
    error = capsys.readouterr().err
    assert "None of the 1 videos can be opened" in error and len(error.splitlines()) == 1


def test_a_mistyped_folder_leaves_no_settings_behind(refused, place):
    refused("synthesize", "nowhere", "-o", "set")
    refused("synthesize", "empty", "-o", "set")  # not: "was begun with another stills"
    assert not (place / "set").exists()
