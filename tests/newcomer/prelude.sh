# SPDX-License-Identifier: Apache-2.0
# Sourced by the script that blocks.py makes of a document: counts its blocks, and says which line
# failed. Variables: BLOCKS_FOLDER, where that script is; BLOCKS_NAME, the document's name.
#
# A command that ends with another exit status than 0 has failed, also within a pipe. So has a curl
# that is answered with a status of 400 or more, unless the line's comment says so: `# 401`.
set -o pipefail
export CURL_HOME=$BLOCKS_FOLDER
printf 'fail-with-body\n' >"$CURL_HOME/.curlrc"
SERVER_SECONDS=900 # to be built, and to listen
block= block_failed=0 passed=0 failed=0 servers=()

# The command at a line of the document, with the lines that it goes on.
command_at() {
	awk -v line="$1" '{ text[NR] = $0 }
		END { a = b = line
			while (text[a - 1] ~ /[\\|]$/) a--
			while (text[b] ~ /[\\|]$/) b++
			for (; a <= b; a++) print text[a] }' "$BLOCKS_FOLDER/document"
}

# failure STATUS LINE: what the trap for ERR says. 141 is a pipe whose reader had enough.
failure() {
	[ "$1" -ne 141 ] || return 0
	if [ "$1" -eq 22 ] && command_at "$2" | grep -qE '# *[45][0-9][0-9]'; then return 0; fi
	printf 'FAILED %s:%s: exit status %s of:\n' "$BLOCKS_NAME" "$2" "$1"
	command_at "$2"
	block_failed=1
}

block_begin() {
	block=$1 block_failed=0
	printf '==== %s:%s\n' "$BLOCKS_NAME" "$1"
}

block_end() {
	if [ "$block_failed" -eq 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
	block=
}

# serve LINE: starts the block in the background, and waits until it says that it listens.
serve() {
	local log=$BLOCKS_FOLDER/serve-$1.log deadline=$((SECONDS + SERVER_SECONDS))
	: >"$log"
	setsid bash -e "$BLOCKS_FOLDER/serve-$1" >"$log" 2>&1 </dev/null &
	servers+=($!)
	until grep -q 'listening on' "$log"; do
		if ! kill -0 "${servers[-1]}" 2>/dev/null || [ "$SECONDS" -gt "$deadline" ]; then
			printf 'FAILED %s:%s: the server does not listen:\n' "$BLOCKS_NAME" "$1"
			tail -40 "$log"
			block_failed=1
			return
		fi
		sleep 0.2
	done
	tail -5 "$log"
}

# Reached by the script's last line, or by a block that ends the shell.
document_end() {
	trap - ERR EXIT
	local server
	for server in "${servers[@]}"; do kill -TERM -- "-$server" 2>/dev/null; done
	for server in "${servers[@]}"; do wait "$server" 2>/dev/null; done
	if [ -n "$block" ]; then
		echo "FAILED $BLOCKS_NAME:$block: the block ended the shell"
		failed=$((failed + 1))
	fi
	# Behind whatever a block left without the end of its line.
	printf '\n%s passed, %s failed\n' "$passed" "$failed"
	[ "$failed" -eq 0 ]
	exit
}
trap 'failure $? $LINENO' ERR
trap document_end EXIT
