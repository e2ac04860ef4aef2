"""What every test may take for granted."""

from __future__ import annotations

import signal

# Started from a script's background, the tests inherit an ignored Ctrl+C and would hand it on to
# every command that they run. A handler of our own is reset to the default in children.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Started under nohup, they inherit an ignored hang-up.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
