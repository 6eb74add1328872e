package formats

import "example.com/iac-catalog/pkg/component"

const (
	dnsLabel = `[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?`
	domain   = `(` + dnsLabel + `\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])`
)

var (
	Domain = component.NewFormat(domain, "a domain in lower case such as example.com")
	// HostName is what a certificate is made out to.
	HostName = component.NewFormat(`(\*\.)?`+domain, "a host name in lower case such as www.example.com or *.example.com")
	// Zone may be empty: DNS is then somebody else's.
	Zone = component.NewFormat(`|Z[A-Z0-9]{1,31}`, "the ID of a Route 53 zone such as Z0123456789ABC")
)
