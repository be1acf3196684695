// A single-port RAM of 16,384 words: a stretch of it is written, then read for ever.
`default_nettype none

module spram (
    input wire ICE_35,
    output wire ICE_27
);
    reg [10:0] at = 0;
    reg full = 0;
    reg [15:0] data = 0;
    always @(posedge ICE_35) begin
        at <= at + 1;
        full <= full | &at;
        data <= {data[14:0], ~(data[15] ^ data[14] ^ data[12] ^ data[3])};
    end
    wire [15:0] q;
    SB_SPRAM256KA ram (
        .ADDRESS({3'b101, at}), .DATAIN(data), .MASKWREN(4'hf), .WREN(~full), .CHIPSELECT(1'b1), .CLOCK(ICE_35),
        .STANDBY(1'b0), .SLEEP(1'b0), .POWEROFF(1'b1), .DATAOUT(q)
    );
    reg out = 0;
    always @(posedge ICE_35) out <= full & q[5];
    assign ICE_27 = out;
endmodule
