// A provider that knows only its schema, which it reads from schema.json beside it. Terraform checks names and types with it, and its
// own mock_provider plans and applies; nothing here reaches a cloud.
package main

import (
	"context"
	"encoding/json"
	"log"
	"os"
	"path/filepath"

	"github.com/hashicorp/terraform-plugin-go/tfprotov5"
	"github.com/hashicorp/terraform-plugin-go/tfprotov5/tf5server"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

type attribute struct {
	Type     json.RawMessage `json:"type"`
	Required bool            `json:"required"`
	Computed bool            `json:"computed"`
}

type nested struct {
	Nesting  string `json:"nesting"`
	Required bool   `json:"required"`
	IsOne    bool   `json:"isOne"`
	Block    block  `json:"block"`
}

type block struct {
	Attributes map[string]attribute `json:"attributes"`
	Blocks     map[string]nested    `json:"blocks"`
}

var nestings = map[string]tfprotov5.SchemaNestedBlockNestingMode{
	"single": tfprotov5.SchemaNestedBlockNestingModeSingle,
	"list":   tfprotov5.SchemaNestedBlockNestingModeList,
	"set":    tfprotov5.SchemaNestedBlockNestingModeSet,
}

func (b block) schema() *tfprotov5.SchemaBlock {
	schema := &tfprotov5.SchemaBlock{}
	for name, one := range b.Attributes {
		kind, err := tftypes.ParseJSONType(one.Type) //nolint:staticcheck // the only reader of this notation
		if err != nil {
			log.Fatalf("Expected a type for %s but received %s", name, one.Type)
		}
		schema.Attributes = append(schema.Attributes, &tfprotov5.SchemaAttribute{
			Name:     name,
			Type:     kind,
			Required: one.Required,
			Optional: !one.Required && !one.Computed,
			Computed: one.Computed,
		})
	}
	for name, one := range b.Blocks {
		nesting := &tfprotov5.SchemaNestedBlock{TypeName: name, Nesting: nestings[one.Nesting], Block: one.Block.schema()}
		if one.Nesting != "single" {
			if one.Required {
				nesting.MinItems = 1
			}
			if one.IsOne {
				nesting.MaxItems = 1
			}
		}
		schema.BlockTypes = append(schema.BlockTypes, nesting)
	}
	return schema
}

// server answers what validation asks; the embedded nil would panic at anything else.
type server struct {
	tfprotov5.ProviderServer
	resources map[string]*tfprotov5.Schema
}

var settings = &tfprotov5.Schema{Block: &tfprotov5.SchemaBlock{Attributes: []*tfprotov5.SchemaAttribute{
	{Name: "project", Type: tftypes.String, Optional: true},
	{Name: "region", Type: tftypes.String, Optional: true},
}}}

func (s server) GetMetadata(context.Context, *tfprotov5.GetMetadataRequest) (*tfprotov5.GetMetadataResponse, error) {
	return &tfprotov5.GetMetadataResponse{}, nil
}

func (s server) GetProviderSchema(context.Context, *tfprotov5.GetProviderSchemaRequest) (*tfprotov5.GetProviderSchemaResponse, error) {
	return &tfprotov5.GetProviderSchemaResponse{Provider: settings, ResourceSchemas: s.resources}, nil
}

func (s server) GetResourceIdentitySchemas(context.Context, *tfprotov5.GetResourceIdentitySchemasRequest) (*tfprotov5.GetResourceIdentitySchemasResponse, error) {
	return &tfprotov5.GetResourceIdentitySchemasResponse{}, nil
}

func (s server) PrepareProviderConfig(_ context.Context, request *tfprotov5.PrepareProviderConfigRequest) (*tfprotov5.PrepareProviderConfigResponse, error) {
	return &tfprotov5.PrepareProviderConfigResponse{PreparedConfig: request.Config}, nil
}

func (s server) ValidateResourceTypeConfig(context.Context, *tfprotov5.ValidateResourceTypeConfigRequest) (*tfprotov5.ValidateResourceTypeConfigResponse, error) {
	return &tfprotov5.ValidateResourceTypeConfigResponse{}, nil
}

func (s server) StopProvider(context.Context, *tfprotov5.StopProviderRequest) (*tfprotov5.StopProviderResponse, error) {
	return &tfprotov5.StopProviderResponse{}, nil
}

func main() {
	program, err := os.Executable()
	if err != nil {
		log.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(filepath.Dir(program), "schema.json"))
	if err != nil {
		log.Fatal(err)
	}
	blocks := map[string]block{}
	if err := json.Unmarshal(text, &blocks); err != nil {
		log.Fatal(err)
	}
	resources := map[string]*tfprotov5.Schema{}
	for name, one := range blocks {
		resources[name] = &tfprotov5.Schema{Block: one.schema()}
	}
	serve := func() tfprotov5.ProviderServer { return server{resources: resources} }
	if err := tf5server.Serve("registry.terraform.io/hashicorp/google", serve); err != nil {
		log.Fatal(err)
	}
}
