// Counters and sums whose carry chains end at, before and beyond the edge of a tile (eight cells), with carry in.
`default_nettype none

module carry #(parameter WIDTH = 8) (
    input wire ICE_35,
    output wire ICE_27, ICE_25, ICE_26, ICE_23
);
    reg [WIDTH-1:0] up = 0, down = 0, sum = 0;
    reg [WIDTH:0] wide = 0;
    reg carry_in = 0;
    always @(posedge ICE_35) begin
        up <= up + 1'b1;
        down <= down - 2'd3;
        carry_in <= up[1] ^ down[0];
        sum <= sum + {up[0], up[WIDTH-1:1]} + carry_in;
        wide <= {1'b0, up} + {1'b0, down} + carry_in;
    end
    assign ICE_27 = sum[WIDTH-1];
    assign ICE_25 = wide[WIDTH];
    assign ICE_26 = up[WIDTH-2];
    assign ICE_23 = up > down;
endmodule
