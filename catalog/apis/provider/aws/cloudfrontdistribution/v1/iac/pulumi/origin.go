package main

import (
	"github.com/pulumi/pulumi-aws/sdk/v7/go/aws/cloudfront"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// serveBucket signs all requests: the bucket can refuse everyone else's.
func (s settings) serveBucket(ctx *pulumi.Context, args *cloudfront.DistributionArgs, headers *cloudfront.ResponseHeadersPolicy) error {
	access, err := cloudfront.NewOriginAccessControl(ctx, s.name, &cloudfront.OriginAccessControlArgs{
		OriginAccessControlOriginType: pulumi.String("s3"),
		SigningBehavior:               pulumi.String("always"),
		SigningProtocol:               pulumi.String("sigv4"),
	})
	if err != nil {
		return err
	}
	args.Origins = cloudfront.DistributionOriginArray{cloudfront.DistributionOriginArgs{
		OriginId:              pulumi.String(originID),
		DomainName:            pulumi.String(s.origin),
		OriginAccessControlId: access.ID(),
	}}
	args.DefaultRootObject = pulumi.String("index.html")
	args.DefaultCacheBehavior = behavior(headers, pulumi.String(cachingOptimized), nil, "GET", "HEAD", "OPTIONS")
	if s.singlePage {
		// S3 does not tell those who may not list a bucket that an object is missing.
		args.CustomErrorResponses = cloudfront.DistributionCustomErrorResponseArray{indexFor(403), indexFor(404)}
	}
	return nil
}

func indexFor(code int) cloudfront.DistributionCustomErrorResponseArgs {
	return cloudfront.DistributionCustomErrorResponseArgs{
		ErrorCode:          pulumi.Int(code),
		ResponseCode:       pulumi.Int(200),
		ResponsePagePath:   pulumi.String("/index.html"),
		ErrorCachingMinTtl: pulumi.Int(10),
	}
}

// serveServer passes on all that viewers send but the host, and caches what
// the server's Cache-Control allows.
func (s settings) serveServer(ctx *pulumi.Context, args *cloudfront.DistributionArgs, headers *cloudfront.ResponseHeadersPolicy) error {
	// AWS's own policies of this kind have the viewer's host in the key, and so
	// send it to a server that may not know it.
	cache, err := cloudfront.NewCachePolicy(ctx, s.name, &cloudfront.CachePolicyArgs{
		MinTtl:     pulumi.Int(0),
		DefaultTtl: pulumi.Int(0),
		MaxTtl:     pulumi.Int(year),
		ParametersInCacheKeyAndForwardedToOrigin: cloudfront.CachePolicyParametersInCacheKeyAndForwardedToOriginArgs{
			// Nobody gets what was made for somebody else.
			CookiesConfig: cloudfront.CachePolicyParametersInCacheKeyAndForwardedToOriginCookiesConfigArgs{
				CookieBehavior: pulumi.String("all"),
			},
			HeadersConfig: cloudfront.CachePolicyParametersInCacheKeyAndForwardedToOriginHeadersConfigArgs{
				HeaderBehavior: pulumi.String("whitelist"),
				Headers: cloudfront.CachePolicyParametersInCacheKeyAndForwardedToOriginHeadersConfigHeadersArgs{
					Items: pulumi.ToStringArray([]string{"Authorization", "Origin"}),
				},
			},
			QueryStringsConfig: cloudfront.CachePolicyParametersInCacheKeyAndForwardedToOriginQueryStringsConfigArgs{
				QueryStringBehavior: pulumi.String("all"),
			},
			EnableAcceptEncodingBrotli: pulumi.Bool(true),
			EnableAcceptEncodingGzip:   pulumi.Bool(true),
		},
	})
	if err != nil {
		return err
	}
	args.Origins = cloudfront.DistributionOriginArray{cloudfront.DistributionOriginArgs{
		OriginId:   pulumi.String(originID),
		DomainName: pulumi.String(s.origin),
		CustomOriginConfig: cloudfront.DistributionOriginCustomOriginConfigArgs{
			HttpPort:             pulumi.Int(80),
			HttpsPort:            pulumi.Int(443),
			OriginProtocolPolicy: pulumi.String("https-only"),
			OriginSslProtocols:   pulumi.ToStringArray([]string{"TLSv1.2"}),
		},
	}}
	args.DefaultCacheBehavior = behavior(headers, cache.ID(), pulumi.String(allViewerExceptHostHeader),
		"GET", "HEAD", "OPTIONS", "PUT", "POST", "PATCH", "DELETE")
	return nil
}

func behavior(headers *cloudfront.ResponseHeadersPolicy, cache, request pulumi.StringPtrInput, methods ...string) cloudfront.DistributionDefaultCacheBehaviorArgs {
	return cloudfront.DistributionDefaultCacheBehaviorArgs{
		TargetOriginId:          pulumi.String(originID),
		ViewerProtocolPolicy:    pulumi.String("redirect-to-https"),
		AllowedMethods:          pulumi.ToStringArray(methods),
		CachedMethods:           pulumi.ToStringArray([]string{"GET", "HEAD"}),
		CachePolicyId:           cache,
		OriginRequestPolicyId:   request,
		ResponseHeadersPolicyId: headers.ID(),
		Compress:                pulumi.Bool(true),
	}
}

// newHeaders make browsers use TLS, believe the content type and show the pages
// in nobody else's. What the origin says itself goes before, except about TLS.
func newHeaders(ctx *pulumi.Context, name string) (*cloudfront.ResponseHeadersPolicy, error) {
	return cloudfront.NewResponseHeadersPolicy(ctx, name, &cloudfront.ResponseHeadersPolicyArgs{
		SecurityHeadersConfig: cloudfront.ResponseHeadersPolicySecurityHeadersConfigArgs{
			StrictTransportSecurity: cloudfront.ResponseHeadersPolicySecurityHeadersConfigStrictTransportSecurityArgs{
				AccessControlMaxAgeSec: pulumi.Int(year),
				Override:               pulumi.Bool(true),
			},
			ContentTypeOptions: cloudfront.ResponseHeadersPolicySecurityHeadersConfigContentTypeOptionsArgs{
				Override: pulumi.Bool(true),
			},
			FrameOptions: cloudfront.ResponseHeadersPolicySecurityHeadersConfigFrameOptionsArgs{
				FrameOption: pulumi.String("DENY"),
				Override:    pulumi.Bool(false),
			},
			ReferrerPolicy: cloudfront.ResponseHeadersPolicySecurityHeadersConfigReferrerPolicyArgs{
				ReferrerPolicy: pulumi.String("strict-origin-when-cross-origin"),
				Override:       pulumi.Bool(false),
			},
		},
	})
}
