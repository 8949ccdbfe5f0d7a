#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# run.sh C_TEST... - runs the C tests, then the Lua specs and the golden tests; one closing line for
# each, and exit code 1 if anything failed. $BUILD: where the program is.
BUILD=${BUILD:-build}
passed=0 failed=0
for program in "$@"; do
  if output=$("$program" 2>&1); then
    passed=$((passed + 1))
    echo "ok     $program $(echo "$output" | grep -F "[  PASSED  ]")"
  else
    failed=$((failed + 1))
    echo "$output"
    echo "FAILED $program"
  fi
done
c_line="C: $passed passed, $failed failed"
echo "$c_line"

specs=tests/lua
[ -z "$(find tests/golden -name '*_spec.lua' 2>/dev/null)" ] || specs="$specs tests/golden"
# shellcheck disable=SC2086
"$BUILD/edgeai" test $specs
lua=$?
[ "$failed" = 0 ] || echo "$c_line"
[ "$failed" = 0 ] && [ "$lua" = 0 ]
