// What a block RAM of the iCE40 does when it is only read, 256 words of 16 bits: for the simulation of `bursts`.
// Ports and parameters are those of SB_RAM40_4K in "iCE Technology Library" by Lattice.

module SB_RAM40_4K #(
    parameter READ_MODE = 0,
    parameter WRITE_MODE = 0,
    parameter [255:0] INIT_0 = 0, INIT_1 = 0, INIT_2 = 0, INIT_3 = 0,
    parameter [255:0] INIT_4 = 0, INIT_5 = 0, INIT_6 = 0, INIT_7 = 0,
    parameter [255:0] INIT_8 = 0, INIT_9 = 0, INIT_A = 0, INIT_B = 0,
    parameter [255:0] INIT_C = 0, INIT_D = 0, INIT_E = 0, INIT_F = 0
) (
    output reg [15:0] RDATA,
    input [10:0] RADDR,
    input RCLK, RCLKE, RE,
    input [10:0] WADDR,
    input WCLK, WCLKE, WE,
    input [15:0] MASK, WDATA
);
    localparam [4095:0] CONTENT = {
        INIT_F, INIT_E, INIT_D, INIT_C, INIT_B, INIT_A, INIT_9, INIT_8,
        INIT_7, INIT_6, INIT_5, INIT_4, INIT_3, INIT_2, INIT_1, INIT_0
    };

    reg [15:0] words [0:255];
    integer i;

    initial
        for (i = 0; i < 256; i = i + 1)
            words[i] = CONTENT[16 * i +: 16];

    always @(posedge RCLK)
        if (RCLKE & RE) RDATA <= words[RADDR[7:0]];
endmodule
