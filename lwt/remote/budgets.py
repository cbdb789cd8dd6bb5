"""Budgets: how much lwt accepts from a host.  A host that sends more fails, and no other host is
affected.

docs/protocol.md has the table of these budgets.  What a user sets is not here: output_limit, and
what is asked for with a task's results.
"""


def passed(most, what='bytes'):
    """The reason why a host failed that told more than that."""
    return 'answer too long (more than %d %s)' % (most, what)


# -- lines and words -------------------------------------------------------------------------------
LINE = 1 << 16                  # bytes of a line of an answer
NAME = 1 << 13                  # bytes of a path, as a host writes it
TEXT = 200                      # characters of a reason, or of what it says of a task
ID = 100                        # characters of what a host says that it is
MACHINE = 400                   # characters of what identifies a machine
TIME = 1 << 36                  # seconds since 1970; a later time is none
NOISE = 4096                    # bytes that are kept of what is printed before and after an answer

# -- answers of scripts ----------------------------------------------------------------------------
TOLD = 1 << 24                  # bytes of lines in one copy, or for one partition of a reduce
TOLD_LINES = 1 << 21            # of these
ANSWER = 1 << 20                # bytes: no script of ours has so much to say
ANSWER_LINES = 200000           # of these
COMPLAINTS = 1 << 16            # bytes that are kept of what a script says on standard error
SAMPLE = 1024                   # bytes of the load of a host that monitor watches
PROBE = 1 << 14                 # bytes that a host may tell beside the file of a probe
LEFTOVERS = 8 << 20             # bytes: a hundred thousand traces are less
LOAD_USERS = 16                 # users whose load is taken from a sample
LOAD_NONSENSE = 5               # words of a sample that are none, and are told
KIB = 1 << 50                   # of memory and of disks: more than any machine has
LOAD = {                        # the largest numbers of a sample
    'cores': 65536, 'load': 10 ** 7, 'memory': KIB, 'free': KIB, 'disk': KIB, 'space': KIB,
    'tasks': 10 ** 6, 'cpu': 10 ** 7, 'me': 10 ** 7}

# -- visits to tasks -------------------------------------------------------------------------------
VISIT = 1 << 22                 # bytes of lines
VISIT_LINES = 50000             # of these
TASK_ANSWERS = 4                # of one task in one visit
# A stream of many empty files is so many times as long as the room that they take on their host.
EMPTY_FILES = 16
ROOM_EVERY = 1 << 24            # bytes of a stream between two looks at the room on this machine
# Bytes that a stream leaves free here, or a twentieth of the file system.
ROOM_KEPT = 1 << 30

# -- archives and links ----------------------------------------------------------------------------
MEMBERS = 10 ** 6               # of what a host sends at once
LINKS = 10 ** 5                 # symbolic links among them
DEPTH = 100                     # parts of the name of one
# Directories that a stream may make, beside one for each block of 512 bytes that was sent.
DIRECTORIES = 1000
REFUSALS = 1000                 # lines about members that are not taken
HEADER = 1 << 14                # bytes of a pax header or of a long name
HEADERS = 4                     # of these before one member
COPIES_OF_HARD_LINKS = 1 << 26  # bytes of copies for hard links, where a file system has none
# Times its own size that a result may grow by copies that stand for links.
GROWTH = 16
GROWTH_LEAST = 64 << 20         # bytes that such copies may have in any case
STEP = 512                      # bytes for which each thing counts there, beside its content
COPIES = 10 ** 6                # things that copies may consist of
COPIES_EACH = 16                # of these for each thing that came
COPIES_LEAST = 500              # of these in any case
COPIES_NAMES = 1 << 26          # bytes of their paths
PATH_MAX = 4096                 # bytes of one, as in Linux (limits.h)
# Parts of paths that are looked at to resolve links, for each thing that came.
LOOKS_EACH = 64
LOOKS_LEAST = 10000             # of these in any case
LINKS_FOLLOWED = 40             # in one path, as in Linux (path_resolution(7))
PARTS_LOOKED_AT = 1000          # of one path, those of the links in it included
PARTS_LOOKED_AT_LATER = 200     # the same, where the path is followed in what comes out

# -- copies ----------------------------------------------------------------------------------------
PATHS = 100000                  # things that may come in one get
PATH_FAILURES = 1000            # things that do not come of which is told
MEMBER_ROOM = 6144              # bytes that tar may need for one name, beside the content
DIRECTORIES_ROOM = 1 << 26      # bytes for the names of directories; they are not announced
NETCAT_LINES = 1000             # lines that describe a host's netcat

# -- reduce ----------------------------------------------------------------------------------------
COMMANDS = 2                    # in one partition
COMMAND_COMPLAINTS = 1 << 20    # bytes that are shown of what these print on standard error
