// A TLS certificate of AWS Certificate Manager, validated by DNS.
//
// ACM renews a certificate for as long as its validation records stay, so that
// these belong to the program wherever the zone is in Route 53.
package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v7/go/aws/acm"
	"github.com/pulumi/pulumi-aws/sdk/v7/go/aws/route53"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/aws/internal/formats"
	"example.com/iac-catalog/pkg/component"
)

func main() {
	pulumi.Run(run)
}

// longestName is what fits into a certificate's common name, the first host.
const longestName = 64

func run(ctx *pulumi.Context) error {
	config := component.NewConfig(ctx)
	var (
		host       = config.Text("host", "the host that the certificate is for", "", formats.HostName)
		others     = config.List("otherHosts", "more hosts that it is for", formats.HostName)
		zone       = config.Text("zoneId", "Route 53 zone of all hosts; without it, the records are an output", "", formats.Zone)
		algorithm  = config.OneOf("keyAlgorithm", "kind of the private key", "EC_prime256v1", "EC_secp384r1", "RSA_2048")
		cloudFront = config.Bool("forCloudFront", "create it in us-east-1, where CloudFront looks for it", false)
		labels     = config.Labels()
	)
	if len(host) > longestName {
		config.Reject("host", "must have at most %d characters; a longer one may be in otherHosts", longestName)
	}
	if slices.Contains(others, host) {
		config.Reject("otherHosts", "has the host %s once more", host)
	}
	if err := config.Err(); err != nil {
		return err
	}

	region := ""
	if cloudFront {
		region = "us-east-1"
	}
	args := &acm.CertificateArgs{
		DomainName:       pulumi.String(host),
		ValidationMethod: pulumi.String("DNS"),
		KeyAlgorithm:     pulumi.String(algorithm),
		// Browsers refuse a certificate that nobody logged.
		Options: acm.CertificateOptionsArgs{CertificateTransparencyLoggingPreference: pulumi.String("ENABLED")},
		Region:  component.Optional(region),
		Tags:    labels.Map(),
	}
	// AWS completes this list by itself: an empty one would be a difference for ever.
	if len(others) > 0 {
		args.SubjectAlternativeNames = pulumi.ToStringArray(others)
	}
	certificate, err := acm.NewCertificate(ctx, host, args)
	if err != nil {
		return err
	}
	ctx.Export("host", certificate.DomainName)
	if zone == "" {
		ctx.Export("arn", certificate.Arn)
		ctx.Export("validationRecords", certificate.DomainValidationOptions)
		return nil
	}
	names, err := validate(ctx, certificate, zone, domains(host, others))
	if err != nil {
		return err
	}
	issued, err := acm.NewCertificateValidation(ctx, host, &acm.CertificateValidationArgs{
		CertificateArn:        certificate.Arn,
		ValidationRecordFqdns: names,
		Region:                component.Optional(region),
	})
	if err != nil {
		return err
	}
	// Whoever uses this ARN gets a certificate that has been issued.
	ctx.Export("arn", issued.CertificateArn)
	return nil
}

// domains are what ACM validates: a host and the wildcard of the same name
// share a record.
func domains(host string, others []string) []string {
	var domains []string
	for _, host := range append([]string{host}, others...) {
		if domain := strings.TrimPrefix(host, "*."); !slices.Contains(domains, domain) {
			domains = append(domains, domain)
		}
	}
	return domains
}

// validate creates the records by which ACM sees whose the domains are.
func validate(ctx *pulumi.Context, certificate *acm.Certificate, zone string, domains []string) (pulumi.StringArray, error) {
	var names pulumi.StringArray
	for _, domain := range domains {
		option := certificate.DomainValidationOptions.ApplyT(
			func(options []acm.CertificateDomainValidationOption) (acm.CertificateDomainValidationOption, error) {
				for _, option := range options {
					if option.DomainName != nil && strings.TrimPrefix(*option.DomainName, "*.") == domain {
						return option, nil
					}
				}
				return acm.CertificateDomainValidationOption{}, fmt.Errorf("ACM asks for no record that validates %s", domain)
			}).(acm.CertificateDomainValidationOptionOutput)
		record, err := route53.NewRecord(ctx, domain, &route53.RecordArgs{
			ZoneId:  pulumi.String(zone),
			Name:    option.ResourceRecordName().Elem(),
			Type:    option.ResourceRecordType().Elem(),
			Records: pulumi.StringArray{option.ResourceRecordValue().Elem()},
			Ttl:     pulumi.Int(300),
			// Another certificate for the domain has the very same record.
			AllowOverwrite: pulumi.Bool(true),
		})
		if err != nil {
			return nil, err
		}
		names = append(names, record.Fqdn)
	}
	return names, nil
}
