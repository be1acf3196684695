// A block RAM that is read with the falling edge and written with the rising one.
`default_nettype none

module memory_edges (
    input wire ICE_35,
    output wire ICE_27, ICE_25
);
    reg [7:0] at = 0;
    reg [15:0] data = 16'h0;
    always @(posedge ICE_35) begin
        at <= at + 8'd7;
        data <= {data[14:0], ~(data[15] ^ data[14] ^ data[12] ^ data[3])};
    end
    wire [15:0] q;
    SB_RAM40_4KNR ram (
        .RADDR({3'b0, at ^ 8'h18}), .RCLKN(ICE_35), .RCLKE(1'b1), .RE(1'b1), .RDATA(q),
        .WADDR({3'b0, at}), .WCLK(ICE_35), .WCLKE(1'b1), .WE(data[2]), .MASK(16'b0), .WDATA(data)
    );
    assign ICE_27 = q[3];
    assign ICE_25 = ^q;
endmodule
