"""Why a target is missed: what limits it and what was tried. Printed with the results, while it is missed."""

__all__ = ["MISSED"]

_FAN = (
    "edits come one at a time, so each is a frame to everybody. The kernel's send is half of it and the same"
    " for all; the peers spend as much again on JavaScript, Cowrite on walking 100 cold sockets every 20 ms,"
    " on the edit itself and on a commit every 0.1 s (0.7 µs of a delivery). To meet it, two edits would have"
    " to share a frame, which keeps the first on nobody's screen for 20 ms more. Tried without gain: writing"
    " to the descriptor past uvloop, another congestion control, keeping the sockets' functions at hand;"
    " commits 0.25 s apart give 4 %."
)

MISSED: dict[tuple[str, str], str] = {
    ("fan", "cpu_us_per_delivery"): _FAN,
    ("fan500", "cpu_us_per_delivery"): _FAN,
    ("rooms", "cpu_us_per_update"): (
        "with three people in a room no flush holds more than one edit. Three sends, a read and two waits of"
        " the loop are the kernel's 39 %, Python takes 44 % (35 µs, of which 13 with a warm cache), yrs and"
        " uvloop 5 % each, SQLite 2 %. The load generator is at its limit here too. Flushing in the same turn"
        " of the loop would save a wait, and would send a caret 50 ms after its text."
    ),
    ("join_paper", "synced_s"): (
        "300 times 0.4 MB are 113 MB, for which the kernel takes as long as all else together; the rest is"
        " 0.25 ms of handshake and room for each, in Python. Reading the handshake at one go halved it, the"
        " whole document is encoded once for all, and it goes to the socket without a copy of ours."
    ),
    ("reconnect", "synced_s"): (
        "starting Python and opening the store takes 0.2 s, half of what the target leaves, and 2,000"
        " handshakes of 0.25 ms each come after it, on one core; the generator needs more than half of"
        " another one for them. Reading the handshake at one go took a third off the CPU."
    ),
    ("mixed", "load_two_workers"): (
        "each document is on one worker, to which its connections are passed with their sockets. Both share a"
        " Redis that takes a fifth of one worker's CPU, which alone leaves 1.7; and each wakes for fewer"
        " edits at a time, with colder caches, which takes a fifth to a third. Single runs gave 1.25 to 1.5."
        " One process with SQLite carries more than two workers with Redis."
    ),
    ("presence", "p99_ms"): (
        "moves wait for up to 50 ms, evenly, so that the 99th percentile is the whole interval, and writing"
        " to 100 people takes 2 ms more. The limit counts the interval alone."
    ),
}
"""By scenario and figure."""
