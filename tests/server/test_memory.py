"""What large blocks leave behind."""

import platform
import subprocess
import sys

import pytest

FREE_MANY = """
import os
from server.memory import give_large_blocks_back

def resident_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

{prepare}
bytearray(30_000_000)
pairs = [(bytearray(1_000_000), bytearray(1_000)) for _ in range(40)]
before = resident_bytes()
pairs = [small for _, small in pairs]
print(before - resident_bytes())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another libc decides for itself")
def test_large_blocks_go_back_though_small_ones_lie_between_them() -> None:
    assert given_back_bytes("pass") < 20_000_000
    assert given_back_bytes("give_large_blocks_back()") > 35_000_000


def given_back_bytes(prepare: str) -> int:
    """Return what a fresh process gives back of 40 MB, after it has freed a larger block."""
    command = [sys.executable, "-c", FREE_MANY.format(prepare=prepare)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
