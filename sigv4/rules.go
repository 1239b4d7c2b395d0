package sigv4

// Rules names the way in which a family of AWS services reads signed requests.
type Rules uint8

const (
	// ExecuteAPI, the zero value, is Amazon API Gateway's way: the path is normalised and encoded once more than it was
	// sent, the window is five minutes either way, and X-Amz-Expires must be well formed but does not lengthen it.
	ExecuteAPI Rules = iota
	// Generic is the way of AWS's other services: the same canonical form, but a presigned URL lives for X-Amz-Expires.
	Generic
	// S3 is Amazon S3's way: the path is decoded and encoded once and keeps its segments, for an object key may hold dot
	// segments and empty ones, and a presigned URL does not cover the body. An escaped slash does not pass for a slash.
	S3
)

// String returns the name of the constant.
func (r Rules) String() string {
	switch r {
	case ExecuteAPI:
		return "ExecuteAPI"
	case Generic:
		return "Generic"
	case S3:
		return "S3"
	}
	return "Rules(?)"
}

// service is the name that stands in the credential scope where the configuration names none.
func (r Rules) service() string {
	switch r {
	case ExecuteAPI:
		return "execute-api"
	case S3:
		return "s3"
	}
	return ""
}
