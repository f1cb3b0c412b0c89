"""Importing the package is quick and loads no heavy library."""

import subprocess
import sys
import time

import vivant

HEAVY = {"torch", "numpy", "cv2", "av", "scipy", "ai_edge_litert", "PIL"}
PROBE = (
    "import sys, time; begin = time.process_time(); import vivant; spent = time.process_time() - begin;"
    f"print(spent, sorted(set(sys.modules) & {HEAVY}))"
)


def test_import_takes_under_300_ms_and_no_torch():
    spent, loaded = min(
        subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True).stdout.split(" ", 1)
        for _ in range(3)
    )
    assert float(spent) < 0.3
    assert loaded.strip() == "[]"


def test_help_needs_no_torch():
    code = (
        "import sys; from vivant.apps.cli import main; main(['animate', '--help']);"
        "assert 'torch' not in sys.modules, 'torch'"
    )
    begin = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--slider.smile" in done.stdout and "--reference_image_path" not in done.stdout
    assert time.perf_counter() - begin < 30


def test_the_package_runs_as_the_command():
    words = [sys.executable, "-X", "importtime", "-m", "vivant"]
    done = subprocess.run([*words, "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"vivant {vivant.__version__}\n")
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "vivant.apps.cli" in loaded and not loaded & HEAVY
    refused = subprocess.run([sys.executable, "-m", "vivant", "nonsense"], capture_output=True, text=True, check=False)
    assert refused.returncode == 2 and refused.stderr.startswith("vivant: ")
    assert "Traceback" not in refused.stderr


def test_public_names():
    assert set(dir(vivant)) == {"Pipeline", "__version__", "animate", "edit", "load"}
    assert callable(vivant.animate) and callable(vivant.load) and callable(vivant.edit)
