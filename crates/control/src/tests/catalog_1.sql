-- A catalog as version 1 wrote it: an endpoint in service and one that is updated.
CREATE TABLE resource (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    name TEXT NOT NULL COLLATE NOCASE,
    region TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    definition TEXT NOT NULL,
    UNIQUE (kind, name)
) STRICT;
CREATE TABLE endpoint_state (
    resource_id INTEGER PRIMARY KEY REFERENCES resource (id) ON DELETE CASCADE,
    status TEXT NOT NULL,
    failure_reason TEXT,
    modified_us INTEGER NOT NULL,
    current TEXT,
    pending TEXT
) STRICT;
CREATE TABLE tag (
    resource_id INTEGER NOT NULL REFERENCES resource (id) ON DELETE CASCADE,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (resource_id, key)
) STRICT;
INSERT INTO resource VALUES
    (1, 'endpoint', 'settled', 'eu-west-1', 1700000000000000, '{"EndpointName":"settled","EndpointConfigName":"one"}'),
    (2, 'endpoint', 'updated', 'eu-west-1', 1700000000000000, '{"EndpointName":"updated","EndpointConfigName":"one"}');
INSERT INTO endpoint_state VALUES
    (1, 'InService', NULL, 1700000001000000, '{"id":"6f3a0b86-4c5d-4a0e-9a53-0d4f6b1f0c01","config_name":"one","started_at":1700000000000000,"variants":[{"name":"AllTraffic","model_name":"m","model":{"image":"echo:1","model_data_url":null,"environment":{}},"weight":1.0,"instance_count":2,"instance_type":"ml.m5.large","routing_config":null,"load_timeout_s":null}],"capture":null,"deployment_config":null,"models_of":null}', NULL),
    (2, 'Updating', NULL, 1700000001000000, '{"id":"6f3a0b86-4c5d-4a0e-9a53-0d4f6b1f0c02","config_name":"one","started_at":1700000000000000,"variants":[{"name":"AllTraffic","model_name":"m","model":{"image":"echo:1","model_data_url":null,"environment":{}},"weight":1.0,"instance_count":1,"instance_type":null,"routing_config":null,"load_timeout_s":60}],"capture":null,"deployment_config":null,"models_of":null}', '{"id":"6f3a0b86-4c5d-4a0e-9a53-0d4f6b1f0c03","config_name":"two","started_at":1700000001000000,"variants":[{"name":"AllTraffic","model_name":"m2","model":{"image":"echo:2","model_data_url":null,"environment":{}},"weight":1.0,"instance_count":1,"instance_type":null,"routing_config":null,"load_timeout_s":60}],"capture":null,"deployment_config":null,"models_of":null}');
PRAGMA user_version = 1;
