#!/bin/sh
# A command as an agent: tells how large the folders below a folder are.
#
# A client cannot name a program: the operator lists those that agents may run (commands.json), and agents name them.
#
#   COMMANDS_FILE=examples/commands.json make run
#   curl localhost:5000/api/agents -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" \
#       -d '{"id": "disk", "name": "Disk report", "agentType": "DISK_REPORT", "configuration": {"command": "disk-report"}}'
#   curl -X POST localhost:5000/api/agents/disk/run -H "Authorization: Bearer $TOKEN"
#
# What agentId, context and so on are, stands on stdin as one line of JSON. A line on stdout that is a JSON object is
# progress or the result, any other line is one of the log; stderr is the log too, and its end the error of a failure.
set -eu

cd "$1"
total=$(ls -d */ | wc -l)
number=0
sum=0
for folder in */; do
    size=$(du -sk "$folder" | cut -f1)
    number=$((number + 1))
    sum=$((sum + size))
    echo "$folder $size kB"
    echo "{\"progress\": $((100 * number / total)), \"currentStep\": $number, \"totalSteps\": $total}"
done
echo "{\"result\": \"$number folders, $sum kB\"}"
