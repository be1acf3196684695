// A block RAM that is written and read, in each of its widths: MODE 0 to 3 are 16, 8, 4 and 2 bits.
`default_nettype none

module memory #(parameter MODE = 0) (
    input wire ICE_35,
    output wire ICE_27, ICE_25
);
    reg [15:0] noise = 0;
    reg [10:0] at = 0;
    always @(posedge ICE_35) begin
        noise <= {noise[14:0], ~(noise[15] ^ noise[14] ^ noise[12] ^ noise[3])};
        at <= at + 1;
    end
    wire [15:0] q;
    SB_RAM40_4K #(
        .READ_MODE(MODE), .WRITE_MODE(MODE),
        .INIT_0(256'h0123456789abcdef_fedcba9876543210_00ff00ff00ff00ff_5555aaaa5555aaaa),
        .INIT_7(256'h8000000000000001_0000000000000000_ffffffffffffffff_123456789abcdef0)
    ) ram (
        .RADDR(at), .RCLK(ICE_35), .RCLKE(1'b1), .RE(noise[1]), .RDATA(q),
        .WADDR({noise[10:0]}), .WCLK(ICE_35), .WCLKE(at[2]), .WE(noise[4] & noise[9]),
        .MASK({noise[3:0], 12'h0f0}), .WDATA({at[7:0], noise[15:8]})
    );
    reg fold = 0, sum = 0;
    always @(posedge ICE_35) begin
        fold <= ^q;
        sum <= MODE == 0 ? q[12] : MODE == 1 ? q[6] : MODE == 2 ? q[9] : q[11];
    end
    assign ICE_27 = fold;
    assign ICE_25 = sum;
endmodule
