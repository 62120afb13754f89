#!/bin/bash
# lint.sh "CFLAGS" SOURCE...: what keeps the house in order.
# LINT="layers format compile cppcheck tidy" chooses parts of it.
cd "$(dirname "$0")/.." || exit 1
flags=$1
shift
sources=("$@")
jobs=$(nproc)
bad=0
mapfile -t all < <(find criu-lite dump restore tests -name '*.[ch]' | sort)
mapfile -t tests < <(find tests -name '*.c' | sort)

part() { [[ " ${LINT:-layers format compile cppcheck tidy} " == *" $1 "* ]]; }
result() {
	if [ "$1" = 0 ]; then
		echo "ok      $2"
	else
		echo "FAILED  $2"
		bad=1
	fi
}

# A folder includes only what stands before it, and dump/ and restore/ nothing of each other.
layer_of() {
	case $1 in
	proto/*) echo -1 ;;
	base/* | criu-lite/base/*) echo 0 ;;
	kernel/* | criu-lite/kernel/*) echo 1 ;;
	lib/* | criu-lite/lib/*) echo 2 ;;
	model/* | criu-lite/model/*) echo 3 ;;
	image/* | criu-lite/image/*) echo 4 ;;
	dump/* | restore/*) echo 5 ;;
	daemon/* | criu-lite/daemon/*) echo 6 ;;
	cmd/* | criu-lite/cmd/*) echo 7 ;;
	*) echo unknown ;;
	esac
}

layers() {
	local f inc mine theirs wrong=0
	while IFS=: read -r f inc; do
		mine=$(layer_of "$f")
		theirs=$(layer_of "$inc")
		if [ "$theirs" = unknown ]; then
			echo "$f: #include \"$inc\" names no folder"
		elif [ "$theirs" -gt "$mine" ]; then
			echo "$f: #include \"$inc\" points upwards"
		elif [ "$mine" = 5 ] && [ "$theirs" = 5 ] && [ "${f%%/*}" != "${inc%%/*}" ]; then
			echo "$f: #include \"$inc\": dump/ and restore/ know nothing of each other"
		elif [ "$mine" -gt 5 ] && [ "$theirs" = 5 ] && [ "$inc" != dump/dump.h ] && [ "$inc" != restore/restore.h ]; then
			echo "$f: #include \"$inc\": only dump/dump.h and restore/restore.h are seen here"
		else
			continue
		fi
		wrong=1
	done < <(grep -oE '^[[:space:]]*#[[:space:]]*include[[:space:]]+"[^"]+"' --with-filename -r criu-lite dump restore \
		--include='*.[ch]' --include='*.def' | sed -E 's/:[^"]*"/:/; s/"$//')
	return $wrong
}

compile() {
	local cc=$1 extra
	extra=$(pkg-config --cflags check 2>/dev/null)
	printf '%s\n' "${sources[@]}" "${tests[@]}" |
		xargs -P "$jobs" -I{} sh -c "$cc $flags $extra -c -o /dev/null {} || { echo {}; exit 255; }"
}

checks() {
	# Without the generated headers: they want to know the version of protobuf-c.
	cppcheck -q -j "$jobs" --error-exitcode=1 --std=c11 --enable=warning,performance,portability --inline-suppr \
		--suppressions-list=tests/cppcheck.txt -D__x86_64__ -D__linux__ -D_GNU_SOURCE -Icriu-lite -I. "${sources[@]}"
}

tidy() {
	local out
	out=$(mktemp)
	printf '%s\n' "${sources[@]}" |
		xargs -P "$jobs" -n 1 sh -c 'clang-tidy --quiet --warnings-as-errors="*" "$@" -- '"$flags"' 2>/dev/null' sh >"$out"
	local status=$?
	grep -vE '^$' "$out"
	rm -f "$out"
	return $status
}

if part layers; then layers; result $? "layers point downwards"; fi
if part format; then clang-format --style=file --dry-run --Werror "${all[@]}"; result $? "clang-format, ${#all[@]} files"; fi
if part compile; then
	for cc in gcc clang; do compile $cc; result $? "$cc -Wall -Wextra -Werror"; done
fi
if part cppcheck; then checks; result $? cppcheck; fi
if part tidy; then tidy; result $? clang-tidy; fi
exit $bad
