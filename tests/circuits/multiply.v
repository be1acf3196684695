// Arithmetic that yosys puts into DSP blocks by itself: products of each kind of sign, with and without registers, and sums of products.
`default_nettype none

module multiply (
    input wire ICE_35,
    output wire ICE_27, ICE_25, ICE_26, ICE_23, ICE_2, ICE_3
);
    reg [47:0] noise = 48'h123456789abc;
    always @(posedge ICE_35) noise <= {noise[46:0], noise[47] ^ noise[46] ^ noise[20] ^ noise[19]};
    wire [15:0] a = noise[15:0], b = noise[31:16];

    wire [31:0] plain = a * b;
    wire signed [31:0] with_sign = $signed(a) * $signed(b);
    reg [31:0] registered = 0, sum = 0, accumulated = 0;
    reg signed [31:0] difference = 0;
    reg [15:0] a1 = 0, b1 = 0, squares = 0;
    always @(posedge ICE_35) begin
        a1 <= a;
        b1 <= b;
        registered <= a1 * b1;
        sum <= a * b + noise[47:16];
        difference <= $signed(noise[40:9]) - $signed(a) * $signed(b);
        accumulated <= accumulated + noise[9:0] * noise[37:26];
        squares <= noise[7:0] * noise[7:0];
    end
    assign ICE_27 = ^plain;
    assign ICE_25 = ^with_sign;
    assign ICE_26 = ^registered;
    assign ICE_23 = ^sum ^ ^difference;
    assign ICE_2 = accumulated[17];
    assign ICE_3 = ^squares;
endmodule
