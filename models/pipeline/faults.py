"""Faults that a person can mend; the message is all that is shown.

raise Fault(f"Expected 1000 labels for {file} but received {count}")
"""


class Fault(Exception):
    """Ends the command with status 1; the message names the file, what was expected of it and what was found."""
