"""Opens an RFC 2217 port with pyserial and does what standard input says, line by line: an
expression, whose value is printed, or a statement."""

import sys
import time

import serial


def raises(name, value):
    """Whether pyserial refuses to set a property, as it does when the answer is not its echo."""
    try:
        setattr(port, name, value)
    except ValueError:
        return True
    return False


def becomes(name, value):
    """Waits for a modem line."""
    while getattr(port, name) != value:
        time.sleep(0.001)
    return True


def carries(count):
    """Whether all byte values come back, as many as there are."""
    sent = bytes(range(256)) * (count // 256)
    port.write(sent)
    return port.read(count) == sent


port = serial.serial_for_url(sys.argv[1], timeout=15, **eval(sys.argv[2]))
print("open", flush=True)
for line in sys.stdin:
    try:
        code = compile(line.strip(), "told", "eval")
    except SyntaxError:
        code = compile(line.strip(), "told", "exec")
    print(repr(eval(code)), flush=True)
