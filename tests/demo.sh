#!/bin/bash
# Shows the main thing: a live process tree goes to images and comes back.
# Runs in pid and mount namespaces of its own, whose init is this script, and
# leaves nothing behind.
set -eu
CL=$(realpath "${CL:-$(dirname "$0")/../build/criu-lite}")
[ -x "$CL" ] || { echo "$CL is not there: run make first" >&2; exit 1; }
[ "$(id -u)" = 0 ] || { echo "the demo makes a pid namespace: run it as root" >&2; exit 1; }
if [ "${1:-}" != --inside ]; then
	dir=$(mktemp -d /tmp/criu-lite-demo.XXXXXX)
	trap 'rm -rf "$dir"' EXIT
	CL=$CL DEMO_DIR=$dir unshare --pid --mount --fork --kill-child --mount-proc "$(realpath "$0")" --inside </dev/null
	exit
fi

bold='' dim='' green='' red='' plain=''
if [ -t 1 ]; then
	bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'
fi
say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
good() { printf '  %s%s%s\n' "$green" "$*" "$plain"; }
bad() { printf '  %s%s%s\n' "$red" "$*" "$plain"; exit 1; }
indent() { sed "s/^/  $dim|$plain /"; }
run() {
	printf '  %s$ criu-lite %s%s\n' "$bold" "$*" "$plain"
	"$CL" "$@" 2>&1 | indent
	return "${PIPESTATUS[0]}"
}

# What this was started with open is not the demo's.
for fd in /proc/self/fd/*; do
	fd=${fd##*/}
	[ "$fd" -le 2 ] || [ "$fd" = 255 ] || eval "exec $fd>&-"
done
cd "$DEMO_DIR"
mkdir -m 700 images
export LC_ALL=C

# A counter in the memory of one process, a pipe, and a process that adds up what comes through it.
cat >counter.sh <<'END'
n=0
while :; do echo $((n++)); sleep 0.05; done | {
	sum=0
	while read -r n; do
		sum=$((sum + n))
		echo "count $n, sum $sum"
	done
}
END
setsid bash counter.sh </dev/null >output 2>&1 &
root=$!
disown

tree() {
	local p
	for p in "$@"; do
		printf '%s ' "$p"
		# A child list, without the sleeps that come and go.
		tree $(cat "/proc/$p/task/$p/children" 2>/dev/null)
	done
}
members() {
	local p
	for p in $(tree "$root"); do
		[ "$(cat "/proc/$p/comm" 2>/dev/null)" = bash ] && printf '%s ' "$p"
	done
	:
}
gone() { ! [ -d "/proc/$root" ]; }
last() { tail -n 1 output; }
grown() { [ "$(wc -l <output)" -gt "$1" ]; }
wait_for() {
	local what=$1 i
	shift
	for i in $(seq 100); do
		if "$@"; then return 0; fi
		sleep 0.05
	done
	bad "waited in vain for $what"
}

say "A live tree: a counter, a pipe, and a process that adds up"
wait_for output grown 20
pids=$(members)
for p in $pids; do
	printf '  pid %-4s %s  fds: %s\n' "$p" "$(tr '\0' ' ' <"/proc/$p/cmdline")" "$(ls "/proc/$p/fd" | tr '\n' ' ')"
done
tail -n 3 output | indent

say "1. Dump it: images of the whole tree, and the tree is gone"
run dump -t "$root" -D images
wait_for "the tree to go" gone
good "no process $root any more; last line: $(last)"
printf '  %s in %s files: ' "$(du -sh images | cut -f1)" "$(ls images | wc -l)"
echo images/*.img | sed 's|images/||g' | fold -s -w 70 | sed '2,$s/^/    /'
lines=$(wc -l <output)

say "2. Restore it, compared with the image before its first instruction runs"
run restore -d --verify -D images
wait_for "the tree to go on" grown $((lines + 3))
[ "$(members)" = "$pids" ] || bad "the pids are others: $(members), not $pids"
good "the same pids: $pids"
sed -n "$((lines - 1)),$((lines + 3))p" output | sed "2a\\
   ~ ~ ~ dumped and restored ~ ~ ~" | indent
awk '$2 != NR - 1 "," { exit 1 }' output || bad "the count has a gap"
good "not one number lost or doubled"

say "3. The proof: stopped, its state is the same before and after"
all=$(tree "$root")
kill -STOP $all
sleep 0.1
"$CL" state "$root" --json >before.json
good "state $root: $(wc -c <before.json) bytes: ids, threads, signals, memory map and contents, descriptors"
rm -rf images && mkdir -m 700 images
run dump -t "$root" -D images
wait_for "the tree to go" gone
run restore -d -D images
"$CL" state "$root" --json >after.json
run diff before.json after.json || bad "the state is another one"
good "diff: no difference"
run diff images after.json || bad "the state is not that of the image"
good "diff with the image: no difference"
lines=$(wc -l <output)
kill -CONT $all
wait_for "the tree to go on" grown "$lines"
awk '$2 != NR - 1 "," { exit 1 }' output || bad "the count has a gap"
good "and on it goes: $(last)"
# Some of it ends by itself with the rest.
kill -KILL $(tree "$root") 2>/dev/null || true
printf '\n%s%sDone.%s\n' "$bold" "$green" "$plain"
