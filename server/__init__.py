"""Everything that touches the outside: sockets, tasks, timers, files."""
