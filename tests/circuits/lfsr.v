// Long sequences: maximal ones of 16 and 20 bits, and one that a comparison restarts.
`default_nettype none

module lfsr (
    output wire ICE_27, ICE_25, ICE_26
);
    wire clock;
    SB_HFOSC #(.CLKHF_DIV("0b01")) source (.CLKHFPU(1'b1), .CLKHFEN(1'b1), .CLKHF(clock));
    reg [15:0] a = 0;
    reg [19:0] b = 0;
    reg [12:0] c = 0;
    always @(posedge clock) begin
        a <= {a[14:0], ~(a[15] ^ a[14] ^ a[12] ^ a[3])};
        b <= {b[18:0], ~(b[19] ^ b[16])};
        c <= c == 13'h0a5a ? 13'h1fff : {c[11:0], c[12] ^ ~c[3] ^ c[2] ^ c[0]};
    end
    assign ICE_27 = a[15];
    assign ICE_25 = b[19];
    assign ICE_26 = c[12];
endmodule
