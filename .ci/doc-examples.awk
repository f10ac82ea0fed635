# Turns a file with documentation into one that holds only the examples of it, each a function:
# awk -f doc-examples.awk FILE >OUTPUT. Every line stays at its number, so that what the compiler
# says of OUTPUT is true of FILE.
#
# In Rust's files an example is a block ```…``` of a doc comment that rustdoc would compile; in
# Markdown it is a block ```rust. As for rustdoc, the `# ` in front of a hidden line goes. What can
# stand only once in an image goes too: attributes of the crate, and the mark of its main function.

# Whether rustdoc would compile a block that begins with ``` and these words.
function is_compiled(words,    n, i, word) {
    n = split(words, word, /[ ,]+/)
    for (i = 1; i <= n; i++) {
        if (word[i] ~ /^(ignore|compile_fail)/) return 0
        if (word[i] !~ /^(|rust|no_run|should_panic|edition20[0-9][0-9])$/) return 0
    }
    return !markdown || words ~ /^rust/
}

BEGIN { markdown = ARGV[1] ~ /\.md$/ }

{
    text = $0
    is_text = markdown || sub(/^[ \t]*\/\/[\/!] ?/, "", text)
    fence = is_text && text ~ /^ *```/
}

fence && !inside {
    words = text
    sub(/^ *```/, "", words)
    inside = is_compiled(words) ? "example" : "other"
    print inside == "example" ? "pub fn line_" NR "() {" : ""
    next
}
fence || (inside && !is_text) {
    if (inside == "example") print fence ? "}" : "compile_error!(\"the example does not end\"); }"
    else print ""
    inside = ""
    next
}
inside == "example" {
    sub(/^ *# /, "", text)
    sub(/^ *#$/, "", text)
    if (text ~ /^ *#!\[/ || text ~ /^ *#\[(gosched::)?main\]/) text = ""
    print text
    next
}
{ print "" }
