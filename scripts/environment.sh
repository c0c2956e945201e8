# Sourced by the other scripts: makes or reuses .venv in the checkout, with the package and its extras ($1) in it.
# Call it with an argument, "" for no extras: without one, `source` would pass the script's own.
# Leaves the working directory at the checkout and PYTHON at the environment's interpreter.

cd "$(dirname "${BASH_SOURCE[0]}")/.."
EXTRAS="${1:-}"

find_python() {
    local candidate
    for candidate in "${ROBO_RLFT_PYTHON:-}" python3.11 python3 python3.12 python3.13; do
        if [ -n "$candidate" ] && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "Python 3.11 or newer is needed, and none was found on PATH (pybullet, the simulator, has wheels for 3.11)." >&2
    echo "Install it (Debian, Ubuntu: apt-get install python3.11 python3.11-venv), or set ROBO_RLFT_PYTHON=/path/to/python3.11" >&2
    return 1
}

if [ ! -x .venv/bin/python ]; then
    FOUND="$(find_python)"
    "$FOUND" -c 'import sys; sys.exit(sys.version_info >= (3, 12))' ||
        echo "Note: $("$FOUND" --version) has no wheel of pybullet; the simulator needs Python 3.11." >&2
    "$FOUND" -m venv .venv || {
        echo "Could not make .venv (Debian, Ubuntu: apt-get install python3.11-venv)." >&2
        exit 1
    }
fi
PYTHON="$PWD/.venv/bin/python"

# Installed already, from the same description, in this very folder? Then nothing is asked of the network.
STAMP=".venv/installed${EXTRAS:+-$EXTRAS}"
WANTED="$(cat pyproject.toml constraints.txt | sha256sum | cut -d' ' -f1) $PWD"
if [ "$(cat "$STAMP" 2>/dev/null)" != "$WANTED" ]; then
    echo "Installing the package into .venv ..."
    "$PYTHON" -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".${EXTRAS:+[$EXTRAS]}"
    echo "$WANTED" >"$STAMP"
fi

if ! "$PYTHON" -c 'import cv2' 2>/dev/null; then
    LIBRARIES="libgl1 libglib2.0-0"
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        # shellcheck disable=SC2086
        apt-get install -y -qq $LIBRARIES >/dev/null || { apt-get update -qq && apt-get install -y -qq $LIBRARIES >/dev/null; }
    fi
    if ! "$PYTHON" -c 'import cv2'; then
        echo "OpenCV cannot be imported: it wants two system libraries. Run: sudo apt-get install $LIBRARIES" >&2
        exit 1
    fi
fi
