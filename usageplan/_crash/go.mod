module github.com/tallygate/tallygate/usageplan/_crash

go 1.26

replace github.com/tallygate/tallygate => ../..

require (
	github.com/stretchr/testify v1.12.1
	github.com/tallygate/tallygate v0.0.0
	golang.org/x/sys v0.45.0
)

require (
	github.com/hanwen/go-fuse/v2 v2.12.1
	go.etcd.io/bbolt v1.5.0
	go.yaml.in/yaml/v3 v3.0.5 // indirect
)
