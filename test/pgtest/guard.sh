# Runs a PostgreSQL server for as long as standard input stays open, then stops it and removes its directory.
# The pipe closes when its owner closes it or dies, by whatever signal, so no server is ever left behind.
#   usage: guard <directory> <postgres> <argument>…
dir=$1
shift
exec 3<&0
"$@" </dev/null >"$dir/log" 2>&1 &
server=$!
# SIGQUIT is PostgreSQL's immediate shutdown: nobody will read this data again.
{ cat <&3; kill -QUIT "$server"; } >/dev/null 2>&1 &
watch=$!
wait "$server"
status=$?
kill "$watch" 2>/dev/null
cat "$dir/log" >&2
cd / && rm -rf "$dir"
exit "$status"
