// An Auth0 application.
//
// What an application may do follows from its type: only the grants that the
// type needs are allowed, and only types that can keep a secret get one.
package main

import (
	"github.com/pulumi/pulumi-auth0/sdk/v3/go/auth0"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/pkg/component"
)

func main() {
	pulumi.Run(run)
}

// kind is what an application's type entails.
type kind struct {
	grants []string
	// authentication is how the application proves to be itself to the token
	// endpoint.
	authentication string
}

const (
	withSecret    = "client_secret_post"
	withoutSecret = "none"
)

var (
	login = []string{"authorization_code", "refresh_token"}
	kinds = map[string]kind{
		"regular_web":     {login, withSecret},
		"spa":             {login, withoutSecret},
		"native":          {login, withoutSecret},
		"non_interactive": {[]string{"client_credentials"}, withSecret},
	}

	displayName = component.NewFormat(`[^<>]{1,140}`, "1 to 140 characters without < and >")
	url         = component.NewFormat(`https://[^\s*]+|http://localhost(:[0-9]+)?(/[^\s*]*)?`, "an https URL without wildcards, or http://localhost")
	audience    = component.NewFormat(`\S*`, "the identifier of an API")
	scope       = component.NewFormat(`\S+`, "a scope such as read:orders")
)

func run(ctx *pulumi.Context) error {
	config := component.NewConfig(ctx)
	var (
		name      = config.Text("name", "the application's name", config.DefaultName(), displayName)
		appType   = config.OneOf("type", "kind of application", "regular_web", "spa", "native", "non_interactive")
		callbacks = config.List("callbacks", "URLs to return to after login; not for `non_interactive`", url)
		logouts   = config.List("logoutUrls", "URLs to return to after logout", url)
		origins   = config.List("webOrigins", "origins that may renew a session silently", url)
		tokenLife = config.Int("idTokenSeconds", "lifetime of an ID token", 3600, 60, 86400)
		api       = config.Text("audience", "API that a `non_interactive` application may call", "", audience)
		scopes    = config.List("scopes", "scopes it gets there", scope)
		labels    = config.Labels()
	)
	machine := appType == "non_interactive"
	if machine && len(callbacks) > 0 {
		config.Reject("callbacks", "nobody logs in to a non_interactive application")
	}
	if !machine && api != "" {
		config.Reject("audience", "only a non_interactive application is granted an API directly")
	}
	if api == "" && len(scopes) > 0 {
		config.Reject("scopes", "need an audience")
	}
	if err := config.Err(); err != nil {
		return err
	}

	args := &auth0.ClientArgs{
		Name:              pulumi.String(name),
		AppType:           pulumi.String(appType),
		GrantTypes:        pulumi.ToStringArray(kinds[appType].grants),
		Callbacks:         pulumi.ToStringArray(callbacks),
		AllowedLogoutUrls: pulumi.ToStringArray(logouts),
		WebOrigins:        pulumi.ToStringArray(origins),
		OidcConformant:    pulumi.Bool(true),
		CrossOriginAuth:   pulumi.Bool(false),
		// Only then can the token's signature be checked without the secret.
		JwtConfiguration: auth0.ClientJwtConfigurationArgs{
			Alg:               pulumi.String("RS256"),
			LifetimeInSeconds: pulumi.Int(tokenLife),
		},
		ClientMetadata: labels.Map(),
	}
	if !machine {
		args.RefreshToken = refreshToken()
	}
	client, err := auth0.NewClient(ctx, name, args)
	if err != nil {
		return err
	}
	credentials, err := auth0.NewClientCredentials(ctx, name, &auth0.ClientCredentialsArgs{
		ClientId:             client.ClientId,
		AuthenticationMethod: pulumi.String(kinds[appType].authentication),
	})
	if err != nil {
		return err
	}
	if api != "" {
		if _, err := auth0.NewClientGrant(ctx, name, &auth0.ClientGrantArgs{
			ClientId: client.ClientId,
			Audience: pulumi.String(api),
			Scopes:   pulumi.ToStringArray(scopes),
		}); err != nil {
			return err
		}
	}

	ctx.Export("clientId", client.ClientId)
	if kinds[appType].authentication == withSecret {
		ctx.Export("clientSecret", pulumi.ToSecret(credentials.ClientSecret))
	}
	return nil
}

// refreshToken makes each refresh token good for one use, so that a stolen one
// is noticed, and ends it after a month, or two weeks without use.
func refreshToken() auth0.ClientRefreshTokenArgs {
	return auth0.ClientRefreshTokenArgs{
		RotationType:      pulumi.String("rotating"),
		ExpirationType:    pulumi.String("expiring"),
		TokenLifetime:     pulumi.Int(30 * component.Day),
		IdleTokenLifetime: pulumi.Int(14 * component.Day),
	}
}
