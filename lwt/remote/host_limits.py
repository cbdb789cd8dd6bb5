"""Budgets: how much data lwt accepts from a host.  A host that sends more fails; no other host is
affected.

docs/protocol.md has the table of these budgets.  Limits that users set are defined elsewhere: the
option output_limit, and the limits on the results of a task.
"""


def passed(most, what='bytes'):
    """The reason of the failure of a host that sent more than `most` bytes, or other units."""
    return 'answer too long (more than %d %s)' % (most, what)


# -- lines and words -------------------------------------------------------------------------------
LINE = 1 << 16                  # bytes of a line of an answer
NAME = 1 << 13                  # bytes of a path, as a host writes it
TEXT = 200                      # characters of a reason, or of a text about a task
ID = 100                        # characters of the id that a host reports
MACHINE = 400                   # characters of the identity of a machine
TIME = 1 << 36                  # seconds since 1970; a later time is invalid
NOISE = 4096                    # bytes kept of the output before and after an answer

# -- answers of scripts ----------------------------------------------------------------------------
TOLD = 1 << 24                  # bytes of lines in one copy, or for one partition of a reduce
TOLD_LINES = 1 << 21            # lines in the same
ANSWER = 1 << 20                # bytes of an answer; no script of lwt prints so much
ANSWER_LINES = 200000           # lines of an answer
COMPLAINTS = 1 << 16            # bytes kept of the standard error of a script
SAMPLE = 1024                   # bytes of one load sample for monitor
PROBE = 1 << 14                 # bytes that a host may send besides the file of a probe
LEFTOVERS = 8 << 20             # bytes of an answer of doctor.sh; 100,000 leftovers need less
LOAD_USERS = 16                 # users whose load is taken from a sample
LOAD_NONSENSE = 5               # invalid words of a sample that are reported
KIB = 1 << 50                   # KiB of memory or disk: more than any machine has
LOAD = {                        # maximum numbers of a sample
    'cores': 65536, 'load': 10 ** 7, 'memory': KIB, 'free': KIB, 'disk': KIB, 'space': KIB,
    'tasks': 10 ** 6, 'cpu': 10 ** 7, 'me': 10 ** 7}

# -- visits to tasks -------------------------------------------------------------------------------
VISIT = 1 << 22                 # bytes of lines in one visit
VISIT_LINES = 50000             # lines in one visit
TASK_ANSWERS = 4                # answers about one task in one visit
# Maximum ratio of the length of a stream of empty files to the disk space they take on their host.
EMPTY_FILES = 16
ROOM_EVERY = 1 << 24            # bytes of a stream between two checks of the free disk space
# Bytes that a stream leaves free on the disk of this machine, or a twentieth of the file system.
ROOM_KEPT = 1 << 30

# -- archives and links ----------------------------------------------------------------------------
MEMBERS = 10 ** 6               # members of one archive
LINKS = 10 ** 5                 # symbolic links among them
DEPTH = 100                     # parts of the path of a member
# Directories that a stream may make, in addition to one per 512 bytes of the stream.
DIRECTORIES = 1000
REFUSALS = 1000                 # lines about refused members
HEADER = 1 << 14                # bytes of a pax header or of a long name
HEADERS = 4                     # such headers before one member
COPIES_OF_HARD_LINKS = 1 << 26  # bytes of copies of hard links, if a file system has no hard links
# Maximum size of the copies that replace links in a result, as a multiple of its own size.
GROWTH = 16
GROWTH_LEAST = 64 << 20         # bytes that such copies may have in any case
STEP = 512                      # bytes that each entry counts for this, in addition to its content
COPIES = 10 ** 6                # entries of all copies
COPIES_EACH = 16                # entries of copies for each entry that was received
COPIES_LEAST = 500              # entries of copies that are allowed in any case
COPIES_NAMES = 1 << 26          # bytes of the paths of all copies
PATH_MAX = 4096                 # bytes of one path, as in Linux (limits.h)
# Parts of paths that are read to resolve links, for each entry that was received.
LOOKS_EACH = 64
LOOKS_LEAST = 10000             # parts of paths that may be read in any case
LINKS_FOLLOWED = 40             # links in one path, as in Linux (path_resolution(7))
PARTS_LOOKED_AT = 1000          # parts of one path, including those of its links
PARTS_LOOKED_AT_LATER = 200     # the same, if the path is followed in the resolved result

# -- copies ----------------------------------------------------------------------------------------
PATHS = 100000                  # paths in one get
PATH_FAILURES = 1000            # failed paths that are reported
MEMBER_ROOM = 6144              # bytes that tar may need for one name, besides the content
DIRECTORIES_ROOM = 1 << 26      # bytes for the names of directories, which are not announced
NETCAT_LINES = 1000             # lines that describe the netcat of a host

# -- reduce ----------------------------------------------------------------------------------------
COMMANDS = 2                    # commands in one partition
COMMAND_COMPLAINTS = 1 << 20    # bytes shown of the standard error of these commands
