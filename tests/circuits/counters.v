// Counters of many bits: free, and with a comparison that restarts them.
`default_nettype none

module counters #(parameter WIDTH = 24, parameter LIMIT = 0) (
    input wire ICE_35,
    output wire ICE_27
);
    reg [WIDTH-1:0] count = 0;
    reg level = 0;
    wire last = count == LIMIT - 1;
    always @(posedge ICE_35) begin
        count <= LIMIT > 0 && last ? 0 : count + 1;
        level <= level ^ last;
    end
    assign ICE_27 = LIMIT > 0 ? level : count[WIDTH-1];
endmodule
