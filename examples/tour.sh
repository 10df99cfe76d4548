#!/bin/sh
# The REST API with curl: make an agent, schedule it, run it, read its history, pause it, resume it, remove it.
#
#   make run                                              and in a second terminal
#   export TOKEN=$(.venv/bin/python -m server token --user me)
#   examples/tour.sh
set -eu
server=${SERVER:-http://localhost:5000}
agent=tour-$$

api() {  # method, path, body
    echo "> $1 $2 ${3:-}" >&2
    curl --silent --show-error --fail-with-body -X "$1" "$server/api$2" \
        -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" ${3:+-d "$3"}
    echo
}

api POST /agents "{\"id\": \"$agent\", \"name\": \"Tour\", \"agentType\": \"FILE_INVENTORY\"}"
api POST "/agents/$agent/schedule" '{"cronExpression": "0 9 * * MON-FRI", "timezone": "Europe/Berlin", "priority": "HIGH"}'
api GET "/agents/$agent/schedule"

api POST "/agents/$agent/run" '{"context": {"reason": "to see it run"}}'
until api GET "/agents/$agent/sessions?limit=1" | grep -E '"outcome": "(completed|failed)"'; do  # not "running"
    sleep 1
done

api PATCH "/agents/$agent/schedule/$agent/pause"
api PATCH "/agents/$agent/schedule/$agent/resume"
api GET /agents/scheduler/status
api DELETE "/agents/$agent/schedule"
api DELETE "/agents/$agent"
