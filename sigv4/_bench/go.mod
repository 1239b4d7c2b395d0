module github.com/tallygate/tallygate/sigv4/_bench

go 1.26

require (
	github.com/aws/aws-sdk-go-v2 v1.48.0
	github.com/aws/smithy-go v1.28.9
	github.com/rclone/gofakes3 v0.0.12
	github.com/stretchr/testify v1.12.1
	github.com/tallygate/tallygate v0.0.0
)

require (
	github.com/minio/xxml v0.0.3 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
)

replace github.com/tallygate/tallygate => ../..
