-- A database as version 1 of the schema left it. Never edited: a released file looks like this for ever.
BEGIN TRANSACTION;
CREATE TABLE agents (
        id TEXT PRIMARY KEY,
        created_at INTEGER NOT NULL,
        status TEXT NOT NULL,
        agent_type TEXT NOT NULL,
        priority INTEGER NOT NULL,
        due_at INTEGER NOT NULL,
        has_schedule INTEGER NOT NULL,
        is_scheduled INTEGER NOT NULL,
        is_paused INTEGER NOT NULL,
        is_running INTEGER NOT NULL,
        lease_id TEXT,
        lease_owner TEXT,
        lease_until INTEGER,
        stop_requested INTEGER NOT NULL,
        search TEXT NOT NULL,
        body TEXT NOT NULL
    );
INSERT INTO "agents" VALUES('report',1704099600000,'IDLE','TEST',3,1704099600000,1,1,0,1,'lease-1','server-1',1704099630000,0,'reportweekly reportwrites a report','{"_id":"report","name":"Weekly report","agentType":"TEST","createdAt":1704099600000,"updatedAt":1704099600000,"description":"Writes a report","configuration":"{\"url\": \"http://localhost:9/x\"}","projectId":null,"managerId":null,"status":"IDLE","priority":3,"schedule":{"expression":"0 9 * * *","timezone":"Europe/Berlin","anchor":1704099600000,"enabled":true,"overlap":"SKIP","missedRuns":"ONCE"},"isPaused":false,"nextRunAt":1704099600000,"lastRunAt":null,"retryCount":0,"lastError":null,"pending":null,"lease":{"owner":"server-1","id":"lease-1","until":1704099630000},"sessionId":"session-2","stopRequested":null,"isScheduled":true,"isRunning":true,"dueAt":1704099600000,"search":"report\u001fweekly report\u001fwrites a report"}');
INSERT INTO "agents" VALUES('plain',1704099600000,'IDLE','TEST',2,253402214400000,0,0,0,0,NULL,NULL,NULL,0,'plainplain','{"_id":"plain","name":"Plain","agentType":"TEST","createdAt":1704099600000,"updatedAt":1704099600000,"description":"","configuration":"{}","projectId":null,"managerId":null,"status":"IDLE","priority":2,"schedule":null,"isPaused":false,"nextRunAt":null,"lastRunAt":null,"retryCount":0,"lastError":null,"pending":null,"lease":null,"sessionId":null,"stopRequested":null,"isScheduled":false,"isRunning":false,"dueAt":253402214400000,"search":"plain\u001fplain\u001f"}');
CREATE TABLE doomed (agent_id TEXT PRIMARY KEY);
CREATE TABLE logs (
        id INTEGER PRIMARY KEY,
        session_id TEXT NOT NULL,
        timestamp INTEGER NOT NULL,
        level TEXT NOT NULL,
        message TEXT NOT NULL
    );
INSERT INTO "logs" VALUES(1,'session-2',1704099600000,'info','a line');
CREATE TABLE sessions (
        id TEXT PRIMARY KEY,
        is_gap INTEGER NOT NULL,
        agent_id TEXT NOT NULL,
        occurrence TEXT,
        attempt INTEGER,
        outcome TEXT NOT NULL,
        started_at INTEGER NOT NULL,
        ended_at INTEGER,
        progress TEXT,
        body TEXT NOT NULL
    );
INSERT INTO "sessions" VALUES('session-1',0,'report','2023-12-31T09:00:00.000Z',1,'completed',1704013200000,1704016800000,NULL,'{"_id":"session-1","isGap":false,"agentId":"report","outcome":"completed","startedAt":1704013200000,"endedAt":1704016800000,"occurrence":"2023-12-31T09:00:00.000Z","attempt":1,"trigger":"cron","scheduledFor":1704099600000,"leaseId":"lease-0","priority":2,"missed":0,"context":"{}","outputSummary":"done","errorMessage":null,"metrics":"{\"n\": 1}"}');
INSERT INTO "sessions" VALUES('gap-1',1,'report',NULL,NULL,'missed',1704088800000,1704096000000,NULL,'{"_id":"gap-1","isGap":true,"agentId":"report","outcome":"missed","startedAt":1704088800000,"endedAt":1704096000000,"count":3,"reason":"The server was down","tail":{"at":1704088800000,"count":3}}');
INSERT INTO "sessions" VALUES('session-2',0,'report','2024-01-01T09:00:00.000Z',1,'running',1704099600000,NULL,'{"percent":40,"message":"half","step":1,"of":2}','{"_id":"session-2","isGap":false,"agentId":"report","outcome":"running","startedAt":1704099600000,"endedAt":null,"occurrence":"2024-01-01T09:00:00.000Z","attempt":1,"trigger":"cron","scheduledFor":1704099600000,"leaseId":"lease-1","priority":2,"missed":0,"context":"{\"a\": 1}","outputSummary":null,"errorMessage":null,"metrics":"{}"}');
CREATE INDEX agents_claimable ON agents (is_running, priority, due_at, id);
CREATE INDEX agents_due ON agents (is_running, due_at, id);
CREATE INDEX agents_lease ON agents (lease_id) WHERE lease_id IS NOT NULL;
CREATE INDEX agents_expiry ON agents (lease_until, id) WHERE lease_until IS NOT NULL;
CREATE INDEX agents_stopping ON agents (lease_owner) WHERE stop_requested = 1 AND lease_owner IS NOT NULL;
CREATE INDEX agents_newest ON agents
        (created_at DESC, id, status, agent_type, is_scheduled, is_paused, is_running)
    ;
CREATE INDEX agents_soonest ON agents (is_scheduled, due_at, id, is_paused, is_running);
CREATE INDEX agents_paused ON agents (has_schedule) WHERE is_paused = 1;
CREATE UNIQUE INDEX sessions_attempt ON sessions (agent_id, occurrence, attempt) WHERE is_gap = 0;
CREATE INDEX sessions_of_agent ON sessions (agent_id, started_at DESC, id, is_gap, outcome, ended_at);
CREATE INDEX sessions_running ON sessions (started_at, id) WHERE outcome = 'running';
CREATE INDEX logs_of_session ON logs (session_id);
COMMIT;
PRAGMA user_version = 1;
