module github.com/tallygate/tallygate/auth/policy/_bench

go 1.26.0

replace github.com/tallygate/tallygate => ../../..

require (
	github.com/cedar-policy/cedar-go v1.9.0
	github.com/stretchr/testify v1.12.1
	github.com/tallygate/tallygate v0.0.0-00010101000000-000000000000
)

require (
	github.com/go-json-experiment/json v0.0.0-20260820222146-c27c302e5fc3 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/exp v0.0.0-20220921023135-46d9e7742f1e // indirect
)
