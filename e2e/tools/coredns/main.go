// CoreDNS with the plugins that e2e/manifests/coredns.yaml uses. The published program has some sixty, with the SDKs of
// three clouds among them.
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/file"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/ready"
)

func main() {
	// A query passes the plugins in this order, which is that of CoreDNS' plugin.cfg.
	dnsserver.Directives = []string{"ready", "health", "errors", "kubernetes", "file"}
	coremain.Run()
}
