# Compares a console with what it should show: awk -f transcript.awk EXPECTED CONSOLE. Says what is
# missing and ends with status 1 if they differ.
#
# A line of EXPECTED stands for one line of the console, with `*` for any text. A line `...` stands
# for any number of lines, and a line `! TEXT` for no line: none of the console may be like TEXT.
# What stands between two `...` has to follow line upon line.

# Whether the text is like the pattern: its parts come in order, the first and the last at the ends.
function like(text, pattern,    parts, n, i, at) {
    n = split(pattern, parts, "*")
    if (n <= 1) return text == pattern
    if (substr(text, 1, length(parts[1])) != parts[1]) return 0
    text = substr(text, length(parts[1]) + 1)
    for (i = 2; i < n; i++) {
        at = index(text, parts[i])
        if (parts[i] != "" && at == 0) return 0
        if (parts[i] != "") text = substr(text, at + length(parts[i]))
    }
    if (length(text) < length(parts[n])) return 0
    return substr(text, length(text) - length(parts[n]) + 1) == parts[n]
}

function differs(what) {
    print what
    failed = 1
    exit 1
}

# Where the run of patterns from..to is found in the console, not before `start`; 0 if nowhere.
function find(from, to, start,    at, i) {
    for (at = start; at + to - from <= lines; at++) {
        for (i = from; i <= to && like(console[at + i - from], expected[i]); i++);
        if (i > to) return at
    }
    return 0
}

# How many lines of the console are like the run of patterns that begins at `from`, at their best
# place: shows where a long run breaks.
function first_missing(from, to, start,    at, i, best) {
    best = from
    for (at = start; at <= lines; at++) {
        for (i = from; i <= to && at + i - from <= lines; i++)
            if (!like(console[at + i - from], expected[i])) break
        if (i > best) best = i
    }
    return best > to ? to : best
}

FILENAME == ARGV[1] && /^! / { refused[++refusals] = substr($0, 3); next }
FILENAME == ARGV[1] { expected[++patterns] = $0; next }
{ console[++lines] = $0 }

END {
    if (failed) exit 1
    for (r = 1; r <= refusals; r++)
        for (i = 1; i <= lines; i++)
            if (like(console[i], refused[r])) differs("there should be no: " refused[r])
    next_line = 1
    anchored = 1
    for (from = 1; from <= patterns; from = to + 1) {
        if (expected[from] == "...") { to = from; anchored = 0; continue }
        for (to = from; to < patterns && expected[to + 1] != "..."; to++);
        start = next_line
        # The last run stands at the end.
        if (to == patterns && !anchored && lines - (to - from) > start) start = lines - (to - from)
        at = find(from, to, start)
        if (at == 0 || (anchored && at != next_line))
            differs("not there, or not in its place: " expected[first_missing(from, to, next_line)])
        next_line = at + to - from + 1
    }
    if (patterns == 0 || expected[patterns] != "...")
        if (next_line <= lines) differs("too much: " console[next_line])
}
