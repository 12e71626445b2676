"""The errors of the local stack; each message says what is wrong and what to do.

StackError                  a program does not start, answer or end
├── DataDirError            the data directory cannot work
├── OtherSettingsError      the stack that runs was started with other settings
├── PortInUseError          a port the stack wants is taken
└── TopicCreationError      the broker did not make a topic
"""


class StackError(RuntimeError):
    """The stack could not be started or stopped; names the program and shows its log."""


class DataDirError(StackError):
    """The path of the data directory or of the checkout is one that a program does not accept."""


class OtherSettingsError(StackError):
    """The stack that runs in this data directory was started with other settings."""


class PortInUseError(StackError):
    """A port the stack wants is taken; names port, program, setting and holder."""


class TopicCreationError(StackError):
    """A topic could not be made; says which and why."""
