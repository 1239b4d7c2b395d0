package sigv4

// Dialect is the way in which a family of AWS services reads signed requests.
type Dialect uint8

const (
	// ExecuteAPI, the zero value, is how Amazon API Gateway reads requests: the path is normalised and escaped once
	// more than it was sent, a signature is valid for five minutes in both directions, and X-Amz-Expires must be well
	// formed but does not lengthen that.
	ExecuteAPI Dialect = iota
	// Generic is how AWS's other services read requests: in the same canonical form, but a presigned URL is valid for
	// X-Amz-Expires.
	Generic
	// S3 is how Amazon S3 reads requests: the path is decoded and escaped once, and keeps dot segments and empty
	// segments, which object keys may have. A presigned URL does not cover the body. Unlike in S3, an escaped slash is
	// not the same as a slash.
	S3
)

// service returns the service that the configuration may leave out, or "" if there is none.
func (d Dialect) service() string {
	switch d {
	case ExecuteAPI:
		return "execute-api"
	case S3:
		return "s3"
	}
	return ""
}
