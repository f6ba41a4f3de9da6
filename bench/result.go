package main

// A result is one workload of one peer in one round.
type result struct {
	Peer     string `json:"peer"`
	Workload string `json:"workload"`
	Round    int    `json:"round"`
	Error    string `json:"error,omitempty"` // why there are no figures

	Calls   int64   `json:"calls"`
	Seconds float64 `json:"seconds"`
	Rate    float64 `json:"calls_per_second"`
	MB      float64 `json:"mb_per_second,omitempty"` // one way: size by time of a call; 1 MB is 1,000,000 bytes
	P50     float64 `json:"p50_us"`
	P99     float64 `json:"p99_us"`
	CPU     float64 `json:"cpu_s_per_million_calls"`   // both ends
	Allocs  float64 `json:"allocs_per_call"`           // both ends
	Spread  float64 `json:"slowest_to_fastest_caller"` // calls of one over calls of the other

	BulkAlone  float64 `json:"bulk_alone_mb_per_second,omitempty"`
	BulkBeside float64 `json:"bulk_beside_mb_per_second,omitempty"`

	ClientHeap float64 `json:"client_heap_bytes,omitempty"` // of one connection or call
	ServerHeap float64 `json:"server_heap_bytes,omitempty"`
	ClientRSS  float64 `json:"client_rss_bytes,omitempty"`
	ServerRSS  float64 `json:"server_rss_bytes,omitempty"`
}
