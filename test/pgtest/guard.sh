# Runs a PostgreSQL server for as long as standard input stays open, then stops it and removes its directory.
# The pipe closes when its owner closes it or dies, by whatever signal, so no server is ever left behind.
# A server that ends while there is a file "killed" was killed by its owner: it is started again at the owner's word,
# which is a line on standard input. A file "down" says that we wait for it; the owner removes it.
#   usage: guard <directory> <postgres> <argument>…
dir=$1
shift
exec 3<&0
while :; do
	"$@" </dev/null >>"$dir/log" 2>&1 &
	server=$!
	# SIGQUIT is PostgreSQL's immediate shutdown: nobody will read this data again.
	{ read -r _ <&3; kill -QUIT "$server"; } >/dev/null 2>&1 &
	watch=$!
	wait "$server"
	status=$?
	kill "$watch" 2>/dev/null
	wait "$watch"
	[ -e "$dir/killed" ] || break
	: >"$dir/down"
	read -r _ <&3 || break
done
cat "$dir/log" >&2
cd / && rm -rf "$dir"
exit "$status"
