"""The native engine and the Python that runs it: what is installed, and what the TaskManager runs.

The engine is a library in both environments, and Flink loads a Python of one of them into its JVM.
A process keeps the libraries that it has loaded when newer ones are installed. Called by
`doctor.py`; changes nothing.
"""

import filecmp
import subprocess
from pathlib import Path
from typing import Final

COMMAND_TIMEOUT_S: Final = 30.0

_ENGINE_SCRIPT: Final = (
    "import weir_engine.weir_engine as library; from features.engine import version; "
    "version.check_engine_version(); print(version.ENGINE_VERSION, library.__file__)"
)
_PROGRAM_SCRIPT: Final = (
    "import platform, sys; print(platform.python_version(), sys._base_executable)"
)
_PYTHON_SCRIPT: Final = (
    "import platform; from find_libpython import find_libpython; "
    "print(platform.python_version(), find_libpython() or '')"
)
_DELETED: Final = " (deleted)"


def installed_engine(*pythons: Path) -> str:
    """Give the version of the engine, which must be the same library in all environments.

    Args:
        pythons: the Python of each environment.

    Raises:
        ValueError: an engine has another version than the code needs, or the libraries differ.
        OSError: an environment is missing.
    """
    found = [_answer(python, _ENGINE_SCRIPT) for python in pythons]
    libraries = [Path(library) for _, library in found]
    for library in libraries[1:]:
        if not filecmp.cmp(libraries[0], library, shallow=False):
            raise ValueError(f"{libraries[0]} and {library} were built from different sources")
    return f"weir_engine {found[0][0]}, the same in {len(pythons)} environments"


def python_of_program(python: Path) -> str:
    """Give the Python that an environment was made of: version, origin, program.

    Raises:
        ValueError: it does not start.
        OSError: the environment is missing.
    """
    version, program = _answer(python, _PROGRAM_SCRIPT)
    program = str(Path(program).resolve())
    return f"Python {version} {_origin(program)}, {program}"


def python_of_flink(python: Path) -> str:
    """Give the Python that the JVM will load, found as PEMJA finds it: version, origin, library.

    Raises:
        ValueError: it has no shared library.
        OSError: the environment is missing.
    """
    version, library = _answer(python, _PYTHON_SCRIPT)
    if not library:
        raise ValueError(
            f"{python} has no shared library; make the environment with another PYTHON"
        )
    return f"Python {version} {_origin(library)}, {library}"


def loaded_by(pid: int) -> str:
    """Give the Python and the engine that a process has loaded.

    Raises:
        LookupError: a library was replaced since the process loaded it.
        OSError: there is no such process.
    """
    maps = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace")
    mapped = dict.fromkeys(
        fields[5] for line in maps.splitlines() if len(fields := line.split(maxsplit=5)) > 5
    )
    pythons = [path for path in mapped if Path(path).name.startswith("libpython3.")]
    engines = [path for path in mapped if Path(path).name.startswith("weir_engine.")]
    if not engines:
        return "no engine yet: no operator has started"
    if replaced := [path for path in (*pythons, *engines) if path.endswith(_DELETED)]:
        raise LookupError(f"{replaced[0].removesuffix(_DELETED)} was replaced while it runs")
    return ", ".join(
        (*(f"{path} {_origin(path)}" for path in pythons), *(engine for engine in engines))
    )


def _origin(library: str) -> str:
    if library.startswith(("/usr/", "/lib/")):
        return "of the distribution"
    return "of pyenv" if "pyenv/versions/" in library else "of another build"


def _answer(python: Path, script: str) -> tuple[str, str]:
    """Run a script that prints a version and a path."""
    done = subprocess.run(
        [str(python), "-c", script],
        check=False,
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ValueError(f"{python}: {reason}")
    version, _, path = done.stdout.strip().partition(" ")
    return version, path
