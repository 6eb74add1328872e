package main

import (
	"testing"

	"example.com/iac-catalog/pkg/componenttest"
)

func TestRun(t *testing.T) {
	componenttest.Run(t, run, "testdata/cases.yaml")
}
