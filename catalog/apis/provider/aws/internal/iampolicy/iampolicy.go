// Package iampolicy writes policies: of roles, and of what has one of its own,
// such as keys and queues.
package iampolicy

import (
	"fmt"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// Map is an object in a policy.
type Map = map[string]any

// Statement is one of a policy's. Its values may be outputs, at any depth.
type Statement struct {
	Sid       string `json:",omitempty"`
	Effect    string
	Principal any `json:",omitempty"`
	Action    []string
	Resource  any `json:",omitempty"`
	Condition Map `json:",omitempty"`
}

// Document is a policy as JSON.
func Document(statements ...Statement) pulumi.StringOutput {
	return pulumi.JSONMarshal(struct {
		Version   string
		Statement []Statement
	}{"2012-10-17", statements})
}

// Account is the account in an ARN, and the principal that stands for it. An
// ARN that AWS has just given out saves a program asking whose account it
// works in.
func Account(arn pulumi.StringOutput) (id, root pulumi.StringOutput) {
	id = arn.ApplyT(func(arn string) (string, error) {
		parts := strings.Split(arn, ":")
		if len(parts) < 6 {
			return "", fmt.Errorf("%q is not an ARN", arn)
		}
		return parts[4], nil
	}).(pulumi.StringOutput)
	root = pulumi.All(arn, id).ApplyT(func(of []any) string {
		return fmt.Sprintf("arn:%s:iam::%s:root", strings.Split(of[0].(string), ":")[1], of[1])
	}).(pulumi.StringOutput)
	return id, root
}
